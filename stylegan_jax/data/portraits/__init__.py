"""Drawn portraits, a data set without files."""
