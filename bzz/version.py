"""The version of bzz."""

__version__ = "1.0.0.dev0"
"""The version of bzz: major.minor.patch; one that ends in .devN comes before it."""
