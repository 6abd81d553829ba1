"""Trains a generator: see `commands/train.py`."""

from stylegan_jax.commands import running, train

if __name__ == "__main__":
    running.run_main(train.main)
