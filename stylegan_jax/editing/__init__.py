"""Edits: arithmetic on latents, on masks, and along directions."""
