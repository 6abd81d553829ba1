"""A page in the browser that shows what a network can do."""
