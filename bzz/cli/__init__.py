"""The command line: `python -m bzz`."""
