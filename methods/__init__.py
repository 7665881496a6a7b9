"""One file per method; the file's name is the method's name on the command line."""
