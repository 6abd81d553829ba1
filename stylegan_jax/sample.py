"""Draws images from seeds: see `commands/sample.py`."""

from stylegan_jax.commands import running, sample

if __name__ == "__main__":
    running.run_main(sample.main)
