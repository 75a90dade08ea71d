"""PyMongo's collections, taught that a session bound with `ClientSession.bind()` counts.

Inside a transaction PyMongo sets the write concern and the read preference of a
connection string aside when the session is passed by hand, and forgets to when it is
bound: with `w=majority` or `readPreference=secondaryPreferred` in the URI (hosted
databases write them there) the server then refuses each command with code 72.  And it
counts a whole collection by a command that transactions do not have.  `bzz.connection`
proves at start that it works.
"""

from __future__ import annotations

from typing import Any

from pymongo import ReadPreference
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.write_concern import WriteConcern

from bzz.unit import current_unit

_SERVER_DEFAULT = WriteConcern()


def _in_transaction(session: Any) -> bool:
    if session is None:
        unit = current_unit()
        session = None if unit is None else unit.session
    return session is not None and bool(session.in_transaction)


class BoundCollection(Collection[Any]):
    """A collection that knows when the session bound to the calling code is in a transaction."""

    def _write_concern_for(self, session: Any) -> WriteConcern:
        return _SERVER_DEFAULT if _in_transaction(session) else self.write_concern

    def _read_preference_for(self, session: Any) -> Any:
        return ReadPreference.PRIMARY if _in_transaction(session) else self.read_preference

    def estimated_document_count(self, *args: Any, **kwargs: Any) -> int:
        """As PyMongo's; in a transaction the exact number."""
        if _in_transaction(None):
            return self.count_documents({})
        return super().estimated_document_count(*args, **kwargs)

    def with_options(
        self,
        codec_options: Any = None,
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
    ) -> Any:
        return BoundCollection(
            self.database,
            self.name,
            create=False,
            codec_options=codec_options or self.codec_options,
            read_preference=read_preference or self.read_preference,
            write_concern=write_concern or self.write_concern,
            read_concern=read_concern or self.read_concern,
        )


class BoundDatabase(Database[Any]):
    """A database that hands out `BoundCollection`s."""

    @classmethod
    def of(cls, database: Database[Any]) -> BoundDatabase:
        """The same database, with the same options."""
        return cls(
            database.client,
            database.name,
            database.codec_options,
            database.read_preference,
            database.write_concern,
            database.read_concern,
        )

    def _write_concern_for(self, session: Any) -> WriteConcern:
        return _SERVER_DEFAULT if _in_transaction(session) else self.write_concern

    def _read_preference_for(self, session: Any) -> Any:
        return ReadPreference.PRIMARY if _in_transaction(session) else self.read_preference

    def __getitem__(self, name: str) -> Any:
        return BoundCollection(self, name)

    def get_collection(
        self,
        name: str,
        codec_options: Any = None,
        read_preference: Any = None,
        write_concern: Any = None,
        read_concern: Any = None,
    ) -> Any:
        return BoundCollection(
            self,
            name,
            create=False,
            codec_options=codec_options,
            read_preference=read_preference,
            write_concern=write_concern,
            read_concern=read_concern,
        )
