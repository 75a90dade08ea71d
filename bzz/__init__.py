"""bzz: REST routes for MongoEngine documents whose every write is in a history you can trust."""

from __future__ import annotations

from bzz.errors import BzzError
from bzz.mongoengine_handler import MongoEngineRestHandler
from bzz.openapi.route import openapi_route
from bzz.routes import flatten
from bzz.version import __version__

__all__ = ["BzzError", "MongoEngineRestHandler", "__version__", "flatten", "openapi_route"]
