"""Inverts images: see `commands/invert.py`."""

from stylegan_jax.commands import invert, running

if __name__ == "__main__":
    running.run_main(invert.main)
