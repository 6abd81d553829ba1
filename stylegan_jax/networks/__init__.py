"""Mapping, synthesis and discriminator networks, and the `Generator` value."""
