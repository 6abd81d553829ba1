"""Draws images from seeds: see `commands/sample.py`."""

from stylegan_jax.commands import cli, sample

if __name__ == "__main__":
    cli.run_main(sample.main)
