"""The version of the program; every result carries it."""

__version__ = "0.1.0"
