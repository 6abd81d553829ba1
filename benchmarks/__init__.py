"""How fast and how large the networks are; needs only jax, flax and optax."""
