"""The commands: flags, printing, files; each is a client of the library."""
