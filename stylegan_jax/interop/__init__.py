"""Networks of other implementations, read into ours."""
