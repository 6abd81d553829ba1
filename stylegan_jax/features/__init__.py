"""Frozen networks of others that look at images: features and distances."""
