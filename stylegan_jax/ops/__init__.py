"""Pure array functions: the mathematics of the networks, each with its source."""
