"""Serves a page that shows a network: see `commands/serve.py`."""

from stylegan_jax.commands import cli, serve

if __name__ == "__main__":
    cli.run_main(serve.main)
