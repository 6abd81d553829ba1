"""Import and export of networks in other formats."""
