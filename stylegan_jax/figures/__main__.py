"""Draws the papers' figures: see `commands/figures.py`."""

from stylegan_jax.commands import figures, running

if __name__ == "__main__":
    running.run_main(figures.main)
