"""Faces in photographs: found, cut out as FFHQ's are, and pasted back."""
