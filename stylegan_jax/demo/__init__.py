"""Browser page for sampling, editing and inverting with a network."""
