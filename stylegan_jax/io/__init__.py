"""Files, images, downloads, object storage and terminal output."""
