"""Things that know nothing of GANs."""
