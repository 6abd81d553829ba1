"""Prepares training images: see `commands/prepare_data.py`."""

from stylegan_jax.commands import prepare_data, running

if __name__ == "__main__":
    running.run_main(prepare_data.main)
