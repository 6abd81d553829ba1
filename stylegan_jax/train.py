"""Trains a generator: see `commands/train.py`."""

from stylegan_jax.commands import cli, train

if __name__ == "__main__":
    cli.run_main(train.main)
