"""Trains an encoder: see `commands/encoder.py`."""

from stylegan_jax.commands import encoder, running

if __name__ == "__main__":
    running.run_main(encoder.main)
