"""Scores a generator: see `commands/evaluate.py`."""

from stylegan_jax.commands import cli, evaluate

if __name__ == "__main__":
    cli.run_main(evaluate.main)
