"""Files, images, downloads and what is written."""
