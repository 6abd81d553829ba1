"""Measures of what a generator draws; they take a `Generator` and arrays."""
