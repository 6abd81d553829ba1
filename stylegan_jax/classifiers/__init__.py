"""Classifiers of attributes: networks, training, files."""
