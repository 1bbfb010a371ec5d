"""A media tool that a file took over can do nothing."""
