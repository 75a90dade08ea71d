"""Histories as pages for people: takes JSON-ready values, gives HTML; knows no requests."""
