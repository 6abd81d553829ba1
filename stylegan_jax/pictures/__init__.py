"""The papers' figures, drawn with any network."""
