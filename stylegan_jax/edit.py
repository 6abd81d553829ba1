"""Edits images: see `commands/edit.py`."""

from stylegan_jax.commands import edit, running

if __name__ == "__main__":
    running.run_main(edit.main)
