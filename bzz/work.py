"""What reading and writing a target takes, inside one unit of work.

Finds what a path names, checks the precondition, applies the input, saves.  Plain functions
that run off the event loop; they know the handler only to hand it to the model's hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bson import DBRef

from bzz.assignment import Input, assign, build
from bzz.codec import plain, represent
from bzz.documents import (
    begin,
    create,
    delete,
    instance_query,
    instantiate,
    is_visible,
    list_queryset,
    load_document,
    not_found,
    save,
    sees_all,
)
from bzz.errors import Conflict, FieldError, Gone, InvalidInput, NotFound, Unreadable
from bzz.listing import Page, run_items
from bzz.listing import run as run_list
from bzz.preconditions import Precondition
from bzz.query import ListQuery
from bzz.recording import Head, Model, State, recorder_of
from bzz.schema import Relation, Schema, schema_of
from bzz.source import Source
from bzz.targets import Step, Target
from bzz.unit import Unit, Write
from bzz.values import encoded


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target was found.

    `document` is the write to the document that holds it (or is it); `item` is the document or
    the embedded document itself, None for a list.  `parent` is the object whose field leads to
    it and `owner` the document that holds that object; None for a resource of its own.
    """

    document: Write
    item: Any
    parent: Any = None
    owner: Write | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write came to: the item to show, and the document that carries its version."""

    item: Any
    document: Write
    created: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What is known of a write once it is stored.

    `shown` is the item as JSON-ready values, `version` that of the document which carries it:
    None for a model without history.
    """

    outcome: Outcome
    unit: Unit
    shown: Any
    version: int | None


Work = Callable[[Unit], Outcome]


class Worker:
    """Does the work of one request.

    `handler` goes to the model's hooks; `precondition` is checked on the document that the
    request changes.
    """

    def __init__(
        self, target: Target, handler: Any = None, precondition: Precondition | None = None
    ) -> None:
        self.target = target
        self.handler = handler
        self.precondition = precondition

    # Jobs ------------------------------------------------------------------------------

    def create(self, unit: Unit, given: Input) -> Outcome:
        """Create a document of the resource itself."""
        write = create(unit, build(self.target.last.schema.model, given))
        return Outcome(write.instance, write, created=True)

    def change(self, unit: Unit, given: Input, *, replace: bool = False) -> Outcome:
        """Change the document or the embedded document that the target names."""
        place = self.locate(unit, repair=replace)
        self.check(unit, place.document)
        write = place.document
        if place.item is None:
            return self._replace(unit, write, given)
        names = assign(place.item, given)
        if place.parent is not None and self.target.last.embedded:
            self._check_free(place.parent, self._relation(), place.item)
            names = [_top_field(self.target)]
        save(unit, write, names)
        return Outcome(place.item, write)

    def remove(self, unit: Unit) -> Outcome:
        """Delete the document, or take the item out of its owner."""
        last = self.target.last
        if last.relation is not None and not last.embedded:
            return self._dissociate(unit, last, last.relation)
        place = self.locate(unit)
        owner, parent = place.owner, place.parent
        self.check(unit, owner or place.document)
        if owner is None:
            return Outcome(None, delete(unit, place.document))
        relation, rest = self._relation(), None
        if relation.many:
            rest = [each for each in parent._data[relation.name] if each is not place.item]
        return self._set(unit, owner, parent, rest)

    def _dissociate(self, unit: Unit, step: Step, relation: Relation) -> Outcome:
        """Take a reference out of its owner, also one whose document is gone."""
        place = self._parent(unit)
        parent, model = place.item, relation.target
        try:
            pk = self._referenced(unit, parent, relation, step).instance.pk
        except NotFound:
            pk = self._dangling(unit, parent, relation, step)
            if pk is None:
                raise
        self.check(unit, place.document)
        rest = None
        if relation.many:
            present, gone = _references(parent, relation), _id_key(model, pk)
            rest = [each for each in present if _id_key(model, reference_id(each)) != gone]
        return self._set(unit, place.document, parent, rest)

    def _set(self, unit: Unit, owner: Write, parent: Any, rest: list[Any] | None) -> Outcome:
        """Leave `rest` in the field that the target is in."""
        setattr(parent, self._relation().name, rest)
        save(unit, owner, [_top_field(self.target)])
        return Outcome(None, owner)

    def add(self, unit: Unit, given: Input) -> Outcome:
        """Create an item below a document."""
        relation, place = self._relation(), self._parent(unit)
        owner = place.document
        self.check(unit, owner)
        item = build(relation.target, given)
        self._check_free(place.item, relation, item)
        carrier = owner if relation.embedded else create(unit, item)
        self._attach(place.item, relation, [item])
        save(unit, owner, [_top_field(self.target)])
        return Outcome(item, carrier, created=True)

    def associate(self, unit: Unit, ids: Mapping[str, Any]) -> Outcome:
        """Let a document refer to others that exist; `ids` has the pointer and value of each."""
        relation, place = self._relation(), self._parent(unit)
        self.check(unit, place.document)
        items = [self._existing(unit, relation, at, each) for at, each in ids.items()]
        self._attach(place.item, relation, [each.instance for each in items])
        save(unit, place.document, [_top_field(self.target)])
        return Outcome(items[-1].instance, items[-1], created=True)

    def page(self, unit: Unit, query: ListQuery) -> Page:
        """A page of the nested list that the target names."""
        place, relation = self._parent(unit), self._relation()
        if relation.embedded:
            return run_items(list(getattr(place.item, relation.name) or ()), query)
        ids = [reference_id(each) for each in _references(place.item, relation)]
        queryset = list_queryset(relation.target, self.handler)
        return run_list(queryset.filter(pk__in=ids), query)

    # Finding ---------------------------------------------------------------------------

    def locate(self, unit: Unit, *, repair: bool = False) -> Place:
        """Walk the target's steps from document to document.

        Raises `NotFound` naming the part that is missing, `Gone` for a deleted document that
        has a history, `Unreadable` for one that its model cannot load.  With `repair` the
        latter has a place without an item, if it is all that the target names.
        """
        root, *rest = self.target.steps
        place = self._load(unit, root, repair=repair and not rest)
        for step in rest:
            place = self._descend(unit, place, step)
        return place

    def check(self, unit: Unit, document: Write) -> None:
        """Check the request's If-Match against a document, within the transaction."""
        if self.precondition is not None:
            name = f"{document.model.__name__} {document.id}"
            self.precondition.check(current_version(unit, document), what=name)

    def _load(self, unit: Unit, step: Step, *, repair: bool = False) -> Place:
        model = step.schema.model
        write = unit.load(model, instance_query(model, step.value, self.handler))
        if write is None:
            raise missing(unit, step, self.handler)
        try:
            write.instance = instantiate(model, write.before)
        except Unreadable:
            if not repair:
                raise
            return Place(write, None)
        return Place(write, write.instance)

    def _descend(self, unit: Unit, place: Place, step: Step) -> Place:
        relation = step.relation
        parent = place.item
        if relation is None or parent is None:
            raise NotFound(f"There is nothing at {step.argument!r}.")
        if relation.embedded:
            item = self._embedded(parent, relation, step)
            return Place(place.document, item, parent, place.document)
        if step.is_list:
            return Place(place.document, None, parent, place.document)
        write = self._referenced(unit, parent, relation, step)
        return Place(write, write.instance, parent, place.document)

    def _embedded(self, parent: Any, relation: Relation, step: Step) -> Any:
        value = getattr(parent, relation.name)
        if step.is_list:
            return None
        if not relation.many:
            if value is None:
                raise NotFound(f"{_name(parent)} has no {relation.name!r}.")
            return value
        id_field = step.schema.id_field
        for item in value or ():
            if id_field is not None and step.schema.format_id(item[id_field]) == step.id:
                return item
        raise NotFound(f"{_name(parent)} has nothing at {step.argument!r}.")

    def _referenced(self, unit: Unit, parent: Any, relation: Relation, step: Step) -> Write:
        model = relation.target
        ids = [reference_id(each) for each in _references(parent, relation)]
        write = None
        if ids and step.id is None:
            write = self._behind(unit, model, ids[0])
        elif ids:
            write = load_document(unit, model, instance_query(model, step.value, self.handler))
        keys = {_id_key(model, each) for each in ids}
        if write is None or _id_key(model, write.instance.pk) not in keys:
            raise NotFound(f"{_name(parent)} has nothing at {step.argument!r}.")
        return write

    def referenced(self, unit: Unit) -> Any:
        """The URL id of the referenced document that the target names, which may be gone.

        Raises `NotFound` where the path does not lead to one.
        """
        step, relation = self.target.last, self._relation()
        parent = self._parent(unit).item
        try:
            return self._referenced(unit, parent, relation, step).instance[
                str(step.schema.id_field)
            ]
        except NotFound:
            pk = self._dangling(unit, parent, relation, step)
            if pk is None or (step.id is None and step.schema.id_field != step.schema.pk):
                raise
            return pk if step.id is None else step.value

    @staticmethod
    def _dangling(unit: Unit, parent: Any, relation: Relation, step: Step) -> Any:
        """The primary key in the reference that a step names, if no document has it; or None."""
        model = relation.target
        named = None if step.id is None else document_key(step.schema, step.value)
        for pk in map(reference_id, _references(parent, relation)):
            if step.id is None or (named is not None and _id_key(model, pk) == encoded(named)):
                stored = step.schema.fields[str(step.schema.pk)].to_mongo(pk)
                found = Source.of(model).find_one(unit.session, {"_id": stored})
                return pk if found is None else None
        return None

    def _behind(self, unit: Unit, model: Model, pk: Any) -> Write | None:
        """The document of a primary key, if the request may see it."""
        schema = schema_of(model)
        write = load_document(unit, model, model.objects(pk=pk)._query)
        if write is None or not hasattr(model, "get_instance_queryset"):
            return write
        public_id = write.instance[str(schema.id_field)]
        return load_document(unit, model, instance_query(model, public_id, self.handler))

    def _existing(self, unit: Unit, relation: Relation, pointer: str, value: Any) -> Write:
        model = relation.target
        write = load_document(unit, model, instance_query(model, value, self.handler))
        if write is None:
            shown = schema_of(model).format_id(value)
            detail = f"There is no {model.__name__} with the id {shown!r}."
            raise InvalidInput([FieldError(pointer, detail)])
        return write

    # Nested ----------------------------------------------------------------------------

    def _relation(self) -> Relation:
        relation = self.target.last.relation
        if relation is None:
            raise NotFound("The path names no nested resource.")
        return relation

    def _parent(self, unit: Unit) -> Place:
        """The object whose field the target is."""
        return Worker(Target(self.target.steps[:-1]), self.handler).locate(unit)

    def _replace(self, unit: Unit, write: Write, given: Input) -> Outcome:
        """Put a new document in the place of one that its model cannot load."""
        schema = self.target.last.schema
        instance = build(schema.model, given)
        instance.pk = schema.fields[str(schema.pk)].to_python(write.id)
        instance._created = True
        begin(unit, instance)
        instance.save()
        return Outcome(instance, unit.announce("update", instance))

    @staticmethod
    def _check_free(parent: Any, relation: Relation, item: Any) -> None:
        """Refuse a second embedded document of one id, which no URL could tell from the first."""
        schema = schema_of(type(item))
        if not (relation.embedded and relation.many) or schema.id_field is None:
            return
        value = item[schema.id_field]
        others = [each for each in parent._data.get(relation.name) or () if each is not item]
        if value is not None and any(each[schema.id_field] == value for each in others):
            raise Conflict(
                f"{_name(parent)} has {schema.format_id(value)!r} in {relation.name!r} already."
            )

    @staticmethod
    def _attach(parent: Any, relation: Relation, items: list[Any]) -> None:
        if not relation.many:
            setattr(parent, relation.name, items[-1])
            return
        present = list(parent._data.get(relation.name) or ())
        if not relation.embedded:
            model = relation.target
            there = {_id_key(model, reference_id(each)) for each in present}
            items = [each for each in items if _id_key(model, each.pk) not in there]
        setattr(parent, relation.name, [*present, *items])


def written(unit: Unit, outcome: Outcome) -> Written:
    """What is to be answered for an outcome, once its unit is settled."""
    return Written(outcome, unit, _shown(outcome), _version_after(unit, outcome.document))


def _version_after(unit: Unit, write: Write) -> int | None:
    if write.event is not None:
        return int(write.event.version)
    # A write that changed nothing may have found the document written round bzz.
    return _version_of(unit, write, write.after)


def _shown(outcome: Outcome) -> Any:
    """The item of an outcome as it is stored now, where that is known."""
    write = outcome.document
    if outcome.item is None:
        return None
    if write.fresh and write.after is not None and outcome.item is write.instance:
        return represent(instantiate(write.model, write.after))
    return represent(outcome.item)


def show_state(model: Model, state: State) -> Any:
    """A past state as the document it was; as it was stored when today's model cannot load it."""
    try:
        return represent(instantiate(model, state))
    except Unreadable:
        schema = schema_of(model)
        content = {schema.name_of(name): plain(value) for name, value in state.items()}
        return {"id": schema.format_id(state["_id"]), **content}


def current_version(unit: Unit, document: Write) -> int | None:
    """The version that a stored document has; 0 without history.

    None when it is not as its last event left it, and for models without a recorder.
    """
    return _version_of(unit, document, document.before)


def _version_of(unit: Unit, document: Write, state: State | None) -> int | None:
    recorder = recorder_of(document.model)
    if recorder is None:
        return None
    head = unit.head(document.model, document.id)
    if head is None:
        return 0
    return head.version if recorder.matches(head, document.model, state) else None


def missing(unit: Unit | None, step: Step, handler: Any) -> NotFound | Gone:
    """The error for a document that is not there: gone when it has a history to be seen."""
    model = step.schema.model
    head = deleted_head(unit, step, handler)
    if head is None:
        return not_found(model, step.id)
    return Gone(
        f"The {model.__name__} with the id {step.id!r} was deleted; its history is still there.",
        version=head.version if head.deleted else None,
    )


def deleted_head(unit: Unit | None, step: Step, handler: Any) -> Head | None:
    """The last event of a deleted document, if `handler` could have seen its last state.

    Not itself a delete where the document was taken away round bzz.
    """
    model: Model = step.schema.model
    recorder = recorder_of(model)
    if recorder is None:
        return None
    pk = document_key(step.schema, step.value)
    if pk is None:
        return None
    head = recorder.heads(None, model, [pk])[0] if unit is None else unit.head(model, pk)
    if head is None:
        return None
    session = None if unit is None else unit.session
    if not head.deleted and Source.of(model).find_one(session, {"_id": pk}) is not None:
        return None  # there, and not for this request to see
    if sees_all(model, step.value, handler):
        return head
    if unit is not None:
        unit.batch.flush()  # the delete may be one that this transaction has just made
    state = recorder.last_state(model, pk)
    visible = state is not None and is_visible(model, state, step.value, handler)
    return head if visible else None


def document_key(schema: Schema, value: Any) -> Any:
    """The primary key, as stored, of the document that has or last had this URL id; or None."""
    if schema.id_field == schema.pk:
        return schema.fields[str(schema.pk)].to_mongo(value)
    recorder = recorder_of(schema.model)
    stored = schema.stored_of(str(schema.id_field))
    value = schema.fields[str(schema.id_field)].to_mongo(value)
    found = Source.of(schema.model).find_one(None, {stored: value})
    if found is not None:
        return found["_id"]
    return None if recorder is None else recorder.trace(schema.model, stored, value)


def reference_id(value: Any) -> Any:
    """The id that a reference holds, in whichever form MongoEngine keeps it."""
    if isinstance(value, DBRef):
        return value.id
    if isinstance(value, Mapping):  # a cached reference
        return value.get("_id")
    return getattr(value, "pk", value)


def _id_key(model: Model, pk: Any) -> bytes:
    """A primary key as something that equals another one of the same document."""
    schema = schema_of(model)
    return encoded(schema.fields[str(schema.pk)].to_mongo(pk))


def _references(parent: Any, relation: Relation) -> list[Any]:
    value = parent._data.get(relation.name)
    if relation.many:
        return list(value or ())
    return [] if value is None else [value]


def _top_field(target: Target) -> str:
    """The field of the owning document below which the target lies."""
    steps = target.steps
    index = len(steps) - 1
    while index > 1 and steps[index - 1].embedded:
        index -= 1
    return steps[index].name


def _name(parent: Any) -> str:
    pk = getattr(parent, "pk", None)
    return type(parent).__name__ if pk is None else f"{type(parent).__name__} {pk}"
