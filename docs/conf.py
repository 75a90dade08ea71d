"""Sphinx settings.  The build is strict: `make docs` turns every warning into an error."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from bzz.version import __version__  # noqa: E402 - found by the line above

project = "bzz"
copyright = "The bzz authors"  # noqa: A001 - Sphinx's own name
release = version = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "bzz_reference",
]
exclude_patterns = ["_build", "_ext"]
default_role = "bzz-name"  # docs/_ext/bzz_reference/names.py
smartquotes_action = "De"  # dashes alone: what is in quotes is often to be typed

html_theme = "furo"
html_title = f"bzz {version}"
html_static_path = ["_static"]
html_css_files = ["bzz.css"]
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
pygments_style, pygments_dark_style = "tango", "monokai"

# The Python reference -------------------------------------------------------------------

add_module_names = False
python_maximum_signature_line_length = 72
python_use_unqualified_type_names = True
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "undoc-members": True}
napoleon_numpy_docstring = False  # our "Attributes" are bzz_reference.attributes'
napoleon_use_rtype = False
viewcode_line_numbers = True

# Links ----------------------------------------------------------------------------------

nitpicky = True
nitpick_ignore_regex = [
    # Other projects': `make docs ONLINE=1` links to them, and no build needs the network.
    (r"py:.*", r"(asyncio|bson|blinker|collections|contextlib|datetime|pathlib|enum)(\..*)?"),
    (r"py:.*", r"(mongoengine|pymongo|tornado|subprocess|typing)(\..*)?"),
    # Type variables.
    (r"py:class", r"bzz\.(\w+\.)*[RT]"),
    # What signatures name and users never make: an Auditor is a Recorder, `routes_for` makes a
    # Resource, and the description its Book.
    (r"py:class", r"bzz\.(recording\.Recorder|resource\.Resource|openapi\.book\.Book)"),
]

if tags.has("online"):  # noqa: F821 - Sphinx gives it
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "tornado": ("https://www.tornadoweb.org/en/stable", None),
        "pymongo": ("https://pymongo.readthedocs.io/en/stable", None),
        "mongoengine": ("https://docs.mongoengine.org", None),
        "blinker": ("https://blinker.readthedocs.io/en/stable", None),
    }

linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_ignore = [
    # What examples name: no such host is there.
    r"https?://(localhost|127\.0\.0\.1|[\w.-]*example\.(com|org|net))([:/].*)?",
]
