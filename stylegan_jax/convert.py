"""Converts networks: see `commands/convert.py`."""

from stylegan_jax.commands import cli, convert

if __name__ == "__main__":
    cli.run_main(convert.main)
