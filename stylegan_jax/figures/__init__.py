"""The papers' figures and films."""
