"""How fast and how large the networks are; all but `convert` need only jax, flax and optax."""
