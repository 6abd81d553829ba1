"""Safe reading of official pickles and PyTorch files."""
