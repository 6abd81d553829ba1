"""Serves a page that shows a network: see `commands/serve.py`."""

from stylegan_jax.commands import running, serve

if __name__ == "__main__":
    running.run_main(serve.main)
