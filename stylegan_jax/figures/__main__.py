"""Draws the papers' figures: see `commands/figures.py`."""

from stylegan_jax.commands import cli, figures

if __name__ == "__main__":
    cli.run_main(figures.main)
