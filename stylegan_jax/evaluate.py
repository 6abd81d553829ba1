"""Scores a generator: see `commands/evaluate.py`."""

from stylegan_jax.commands import evaluate, running

if __name__ == "__main__":
    running.run_main(evaluate.main)
