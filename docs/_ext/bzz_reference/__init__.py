"""The reference, made from the code: what Sphinx's own extensions do not know of bzz.

public      what is public, and what is missing of it.  Knows no Sphinx
attributes  attributes told in the docstrings of their classes, one by one
names       single backticks: a link where they name something that is documented
example     the application whose routes are described
routes      `bzz-routes` and `bzz-schemas`, from the OpenAPI description
signals     `bzz-signals`
settings    `bzz-settings`
failures    `bzz-errors` and `bzz-problems`
complete    the build fails when something public is on no page
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from bzz_reference import attributes, complete, failures, names, routes, settings, signals


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    for part in (attributes, names, routes, signals, settings, failures, complete):
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
