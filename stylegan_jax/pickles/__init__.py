"""Pickles read without running them: NVIDIA's networks and PyTorch's files."""
