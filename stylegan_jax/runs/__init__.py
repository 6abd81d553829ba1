"""A run's directory: layout, configuration, checkpoints."""
