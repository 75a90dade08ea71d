"""The demo: people, teams and orders, with a past.  `python -m bzz.demo` serves it."""
