"""Finds directions of a network: see `commands/directions.py`."""

from stylegan_jax.commands import cli, directions

if __name__ == "__main__":
    cli.run_main(directions.main)
