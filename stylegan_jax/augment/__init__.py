"""Augmentation of what the discriminator sees, differentiable in the image."""
