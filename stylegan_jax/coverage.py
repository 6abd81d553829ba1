"""Mode coverage through a run: see `commands/coverage.py`."""

from stylegan_jax.commands import coverage, running

if __name__ == "__main__":
    running.run_main(coverage.main)
