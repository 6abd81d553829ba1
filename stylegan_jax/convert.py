"""Converts networks: see `commands/convert.py`."""

from stylegan_jax.commands import convert, running

if __name__ == "__main__":
    running.run_main(convert.main)
