"""Sphinx settings."""

from bzz.version import __version__

project = "bzz"
copyright = "The bzz authors"  # noqa: A001 - Sphinx's own name
release = version = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "alabaster"
html_theme_options = {"description": "A history you can trust", "fixed_sidebar": True}
nitpicky = False
autodoc_member_order = "bysource"
exclude_patterns = ["_build"]
