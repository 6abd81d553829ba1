"""Commands: flags, printing and files on top of the library."""
