"""What a request is about to do: to which documents, for `may` and the `pre_` signals.

Read from the request's path and body alone, before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bzz.errors import FieldError, InvalidInput
from bzz.recording import Model
from bzz.targets import Step, Target

Action = tuple[str, Model, Any]  # what is done, to a document of which class, with which id


def reading(target: Target) -> list[Action]:
    """What a read does: each document on the way is read, and the last or a list of it."""
    actions = _way(target)
    step = target.last
    if not step.embedded:
        kind = "list" if step.is_list else "read"
        actions.append((kind, step.schema.model, step.value))
    return actions


def writing(target: Target, verb: str) -> list[Action]:
    """What a write does: an embedded item, or an association, is an update of its owner."""
    step, owner = target.last, target.owner
    if not target.nested:
        return [(verb, step.schema.model, step.value)]
    change = ("update", owner.schema.model, owner.value)
    way = [each for each in _way(target) if each[1:] != change[1:]]
    if step.embedded or verb == "delete":
        return [*way, change]
    if verb == "create":
        return [*way, change, ("create", step.schema.model, None)]
    return [*_way(target), ("update", step.schema.model, step.value)]


def associating(target: Target, ids: Iterable[Any]) -> list[Action]:
    """What an association does: the owner is updated, and the others are read and stay."""
    owner, model = target.owner, target.last.schema.model
    change = ("update", owner.schema.model, owner.value)
    way = [each for each in _way(target) if each[1:] != change[1:]]
    return [*way, change, *(("read", model, each) for each in ids)]


def _way(target: Target) -> list[Action]:
    return [
        ("read", step.schema.model, step.value) for step in target.steps[:-1] if not step.embedded
    ]


def existing_ids(step: Step, values: Any) -> dict[str, Any] | None:
    """The documents to associate, when that is what the body of a nested POST asks.

    Their typed ids by the pointers to them.  Raises `InvalidInput` for what cannot be one.
    """
    if step.embedded or not isinstance(values, dict) or len(values) != 1:
        return None
    [(name, given)] = values.items()
    if name == "id":
        return {"/id": _existing_id(step, "/id", given)}
    if name != step.name:
        return None
    listed = given if isinstance(given, list) else [given]
    if not listed or (len(listed) > 1 and not step.is_list):
        wanted = "at least one id" if step.is_list else "one id"
        raise InvalidInput([FieldError(f"/{name}", f"{step.name} takes {wanted} here.")])
    pointers = [f"/{name}/{place}" for place in range(len(listed))]
    return {at: _existing_id(step, at, each) for at, each in zip(pointers, listed, strict=True)}


def _existing_id(step: Step, pointer: str, given: Any) -> Any:
    if not isinstance(given, str | int | float) or isinstance(given, bool):
        raise InvalidInput([FieldError(pointer, "This cannot be an id.")])
    try:
        return step.schema.parse_id(step.schema.format_id(given))
    except ValueError as error:
        raise InvalidInput([FieldError(pointer, str(error))]) from error
