"""Training images on the host: sources, preparation and batches; NumPy in and out."""
