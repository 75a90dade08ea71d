"""Whether an error of the driver means that the database did not answer, or cannot just now.

Knows the driver's errors alone.
"""

from __future__ import annotations

from pymongo.errors import ConnectionFailure, ExecutionTimeout, OperationFailure, PyMongoError

# What a server says while it starts, ends, steps down or waits for others: the codes that the
# drivers' specification of retryable reads lists, and InterruptedAtShutdown.
_PASSING = frozenset({6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})

WRITE_CONFLICT = 112
"""What a server says to the slower one of two writers."""


def is_silence(error: BaseException) -> bool:
    """Whether the server did not answer, not in time, or said that it cannot just now."""
    if not isinstance(error, PyMongoError):
        return False
    if isinstance(error, ConnectionFailure | ExecutionTimeout) or error.timeout:
        return True
    return isinstance(error, OperationFailure) and error.code in _PASSING
