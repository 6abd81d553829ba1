"""Inverts images: see `commands/invert.py`."""

from stylegan_jax.commands import cli, invert

if __name__ == "__main__":
    cli.run_main(invert.main)
