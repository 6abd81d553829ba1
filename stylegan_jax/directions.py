"""Finds directions of a network: see `commands/directions.py`."""

from stylegan_jax.commands import directions, running

if __name__ == "__main__":
    running.run_main(directions.main)
