"""How fast and how large the networks are.

All but `convert` need only jax, flax and optax.
"""
