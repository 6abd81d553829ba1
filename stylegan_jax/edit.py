"""Edits images: see `commands/edit.py`."""

from stylegan_jax.commands import cli, edit

if __name__ == "__main__":
    cli.run_main(edit.main)
