"""Prepares training images: see `commands/prepare_data.py`."""

from stylegan_jax.commands import cli, prepare_data

if __name__ == "__main__":
    cli.run_main(prepare_data.main)
