"""Mode coverage through a run: see `commands/coverage.py`."""

from stylegan_jax.commands import cli, coverage

if __name__ == "__main__":
    cli.run_main(coverage.main)
