"""The version of bzz."""

__version__ = "1.0.0.dev0"
