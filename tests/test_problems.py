"""Errors as RFC 9457 problems."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mongoengine import (
    EmbeddedDocument,
    EmbeddedDocumentField,
    IntField,
    ListField,
    MapField,
    StringField,
)
from mongoengine.errors import (
    DoesNotExist,
    FieldDoesNotExist,
    NotUniqueError,
    OperationError,
    ValidationError,
)
from pymongo.errors import DuplicateKeyError, OperationFailure
from tornado.web import HTTPError

from bzz import errors
from bzz.errors import FieldError
from bzz.offload import DeadlineExceeded
from bzz.problems import KINDS, PROBLEM_JSON, Problem, problem_for, type_of
from bzz.signals import post_create_instance, send_atomic

PAGES = Path(__file__).parent.parent / "docs" / "problems"

FAULTS = [FieldError("/age", "Not a number."), FieldError("", "Too many members.")]


KNOWN = [
    (errors.BadRequest("No."), 400, "bad-request"),
    (errors.Refused("No."), 403, "refused"),
    (errors.NotFound("No."), 404, "not-found"),
    (errors.Conflict("No."), 409, "conflict"),
    (errors.Superseded("No."), 409, "conflict"),
    (errors.PatchConflict("No.", index=2, path="/a"), 409, "patch-conflict"),
    (errors.Overtaken("No.", conflicts=[("/a", 2)]), 409, "overtaken"),
    (errors.Gone("No."), 410, "gone"),
    (errors.PreconditionFailed("No."), 412, "precondition-failed"),
    (errors.TooLarge("No."), 413, "too-large"),
    (errors.UnsupportedMedia("No."), 415, "unsupported-media-type"),
    (errors.InvalidInput(FAULTS, "No."), 422, "invalid-input"),
    (errors.PreconditionRequired("No."), 428, "precondition-required"),
    (errors.Unreadable("No."), 500, "unreadable"),
    (errors.SetupError("No."), 500, "setup"),
    (errors.Unrecorded("No."), 500, "unrecorded"),
    (errors.Unavailable("No."), 503, "unavailable"),
    (errors.SlowReceiver("No."), 503, "slow-receiver"),
    (errors.Undecided("No."), 503, "undecided"),
    (DeadlineExceeded("No.", started=True), 503, "unavailable"),
]


@pytest.mark.parametrize(("error", "status", "slug"), KNOWN, ids=lambda value: type(value).__name__)
def test_an_error_of_bzz_has_its_status_its_type_and_its_sentence(error, status, slug):
    problem = problem_for(error)

    assert (status, type_of(slug), "No.") == (problem.status, problem.type, problem.detail)


def test_every_error_of_bzz_is_in_the_table_above():
    classes = {
        name
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, errors.BzzError)
    }

    assert classes - {"BzzError"} == {type(error).__name__ for error, _, _ in KNOWN} & classes


def test_every_error_of_bzz_has_a_kind_of_problem_that_is_known():
    assert {slug for _, _, slug in KNOWN} <= set(KINDS)


def test_every_kind_of_problem_has_a_page_and_every_page_a_kind():
    assert sorted(KINDS) == sorted(each.stem for each in PAGES.glob("*.rst"))


def test_the_index_of_the_pages_names_them_all():
    listed = re.findall(r"^   problems/(\S+)$", PAGES.with_suffix(".rst").read_text(), re.MULTILINE)

    assert sorted(KINDS) == sorted(listed)


@pytest.mark.parametrize("slug", sorted(KINDS))
def test_the_page_of_a_problem_says_when_it_comes_and_what_to_do(slug):
    page = (PAGES / f"{slug}.rst").read_text()

    assert page.startswith(f"{slug} ({KINDS[slug].status})\n===")
    assert ["When", "What to do", "Example"] == re.findall(r"^(.+)\n-{3,}$", page, re.MULTILINE)


@pytest.mark.parametrize("slug", sorted(KINDS))
def test_the_example_on_the_page_of_a_problem_is_one(slug):
    text = (PAGES / f"{slug}.rst").read_text().partition(".. code-block:: json\n")[2]
    shown, kind = json.loads(text), KINDS[slug]

    assert [type_of(slug), kind.title, kind.status] == list(shown.values())[:3]
    assert set(shown) <= {"type", "title", "status", "detail", "errors", "version", "conflicts"}


def test_the_slugs_of_tornados_errors_are_those_of_their_standard_phrases():
    assert {"unauthorized", "forbidden", "method-not-allowed"} == {
        problem_for(HTTPError(status)).slug for status in (401, 403, 405)
    }


def test_an_error_that_is_derived_from_a_known_one_is_answered_as_that():
    class OrderIsClosed(errors.Conflict):
        """An application's own."""

    assert 409 == problem_for(OrderIsClosed("Closed.")).status


def test_the_faults_of_invalid_input_are_listed():
    assert tuple(FAULTS) == problem_for(errors.InvalidInput(FAULTS)).errors


def test_a_patch_conflict_points_at_the_operation():
    problem = problem_for(errors.PatchConflict("The test failed.", index=2, path="/a"))

    assert (FieldError("/2", "The test failed."),) == problem.errors


def test_unavailable_says_when_to_come_back():
    assert {"Retry-After": "7"} == problem_for(errors.Unavailable("No.", retry_after=7)).headers


def test_unsupported_media_says_what_is_accepted():
    error = errors.UnsupportedMedia("No.", accepted=("application/json", "text/plain"))

    assert {"Accept": "application/json, text/plain"} == problem_for(error).headers


@pytest.mark.parametrize(
    "error",
    [errors.NotFound("No."), errors.Gone("No."), HTTPError(404), HTTPError(410)],
    ids=["not found", "gone", "404", "410"],
)
def test_the_absence_of_a_document_is_not_cached(error):
    assert {"Cache-Control": "no-store"} == problem_for(error).headers


@pytest.mark.parametrize(
    ("error", "extra"),
    [
        (errors.PreconditionFailed("No.", current=7), {"version": 7}),
        (errors.PreconditionFailed("No.", current=0), {"version": 0}),
        (errors.PreconditionFailed("No."), {}),
        (errors.Gone("No.", version=3), {"version": 3}),
        (errors.Gone("No."), {}),
    ],
)
def test_the_version_that_decided_is_told(error, extra):
    assert extra == problem_for(error).extra


# Tornado


@pytest.mark.parametrize(
    ("status", "slug", "title"),
    [
        (401, "unauthorized", "Unauthorized"),
        (403, "forbidden", "Forbidden"),
        (405, "method-not-allowed", "Method Not Allowed"),
        (418, "im-a-teapot", "I'm a Teapot"),
        (505, "http-version-not-supported", "HTTP Version Not Supported"),
        (599, "status-599", "Status 599"),
    ],
)
def test_an_http_error_has_its_status_and_the_standard_phrase(status, slug, title):
    expected = Problem(status=status, slug=slug, title=title)

    assert expected == problem_for(HTTPError(status))


def test_the_reason_of_an_http_error_is_its_detail_and_the_log_message_stays_in_the_log():
    problem = problem_for(HTTPError(403, "user %s of secret group", "ana", reason="Closed"))

    assert "Closed" == problem.detail
    assert b"secret" not in problem.to_json()


# MongoEngine


class Address(EmbeddedDocument):
    """Where."""

    street = StringField(required=True, db_field="s")
    number = IntField()


class Person(EmbeddedDocument):
    """Who, with all the ways to nest."""

    name = StringField(required=True, db_field="n")
    address = EmbeddedDocumentField(Address)
    addresses = ListField(EmbeddedDocumentField(Address))
    numbers = ListField(IntField())
    by_kind = MapField(EmbeddedDocumentField(Address))

    def clean(self):
        if self.name == "Nobody":
            raise ValidationError("Nobody is not a name.")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"/name": "Field is required"}),
        ({"name": "Nobody"}, {"": "Nobody is not a name."}),
        (
            {"name": "Ana", "address": Address(number="x")},
            {
                "/address/street": "Field is required",
                "/address/number": "x could not be converted to int",
            },
        ),
        (
            {"name": "Ana", "addresses": [Address(street="a"), Address()]},
            {"/addresses/1/street": "Field is required"},
        ),
        ({"name": "Ana", "numbers": [1, "x"]}, {"/numbers/1": "x could not be converted to int"}),
        (
            {"name": "Ana", "by_kind": {"at/home~": Address()}},
            {"/by_kind/at~1home~0/street": "Field is required"},
        ),
    ],
    ids=["top", "clean", "embedded", "list of embedded", "list", "map"],
)
def test_a_validation_error_has_a_pointer_for_each_fault(values, expected):
    with pytest.raises(ValidationError) as raised:
        Person(**values).validate()

    problem = problem_for(raised.value)

    assert 422 == problem.status
    assert expected == {each.pointer: each.detail for each in problem.errors}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValidationError("Too old."), [("", "Too old.")]),
        (ValidationError("Too old.", field_name="age"), [("/age", "Too old.")]),
        (ValidationError(errors={"age": ["Old.", "Odd."]}), [("/age", "Old."), ("/age", "Odd.")]),
        (ValidationError(), [("", "Not valid.")]),
    ],
    ids=["message", "field", "several", "empty"],
)
def test_a_validation_error_of_an_applications_own_is_understood(error, expected):
    assert expected == [(each.pointer, each.detail) for each in problem_for(error).errors]


def test_the_detail_of_a_validation_error_names_all_faults():
    error = ValidationError(errors={"age": "Too old.", "__all__": "Odd."})

    assert "/age: Too old.; Odd." == problem_for(error).detail


def clash(details):
    try:
        try:
            raise DuplicateKeyError("E11000 dup key: secret@example.com", 11000, details)
        except DuplicateKeyError as cause:
            raise NotUniqueError(f"Tried to save duplicate unique keys ({cause})") from cause
    except NotUniqueError as error:
        return error


def test_a_clash_names_the_fields_but_not_the_values():
    problem = problem_for(
        clash({"keyPattern": {"e": 1, "at.city": 1}, "keyValue": {"e": "secret"}})
    )

    assert 409 == problem.status
    assert ["/e", "/at/city"] == [each.pointer for each in problem.errors]
    assert "Another document has the same /e and /at/city." == problem.detail
    assert b"secret" not in problem.to_json()


def test_a_clash_is_told_in_todays_field_names():
    names = {"e": "email"}

    problem = problem_for(
        clash({"keyPattern": {"e": 1}}), names=lambda path: [names[each] for each in path]
    )

    assert ["/email"] == [each.pointer for each in problem.errors]


@pytest.mark.parametrize("details", [None, {}, {"code": 11000}])
def test_a_clash_without_details_is_still_a_conflict(details):
    problem = problem_for(clash(details))

    assert (409, "Another document has the same unique value.") == (problem.status, problem.detail)


def test_a_delete_that_a_rule_denies_is_a_conflict():
    error = OperationError("Could not delete document (Order.customer refers to it)")

    problem = problem_for(error)

    assert (409, "referred-to") == (problem.status, problem.slug)
    assert problem.detail.startswith("Order.customer refers to this document;")


# All else


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        OperationError("Could not save document (secret)"),
        FieldDoesNotExist("secret"),
        DoesNotExist("secret"),
        errors.BzzError("secret"),
        KeyboardInterrupt("secret"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_are_failures_that_tell_nothing(error):
    problem = problem_for(error)

    assert 500 == problem.status
    assert b"secret" not in problem.to_json()


def raised_by_a_receiver(error):
    def receiver():
        raise error

    with (
        post_create_instance.connected_to(receiver, atomic=True),
        pytest.raises(type(error)) as raised,
    ):
        send_atomic(post_create_instance, None)
    return raised.value


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HTTPError(402), 402),
        (errors.Unavailable("No."), 503),
        (ValidationError("Of another document."), 500),
        (NotUniqueError("Of another document."), 500),
        (ValueError("Any."), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_receiver_raises_is_its_own_failure_unless_it_names_a_status(error, status):
    assert status == problem_for(raised_by_a_receiver(error)).status


# The JSON


def test_a_problem_as_json():
    problem = problem_for(errors.InvalidInput([FieldError("/age", "Not a number.")]))

    assert "application/problem+json" == PROBLEM_JSON
    assert {
        "type": "https://bzz.readthedocs.io/page/problems/invalid-input.html",
        "title": "The content is not valid",
        "status": 422,
        "detail": "Not a number.",
        "errors": [{"pointer": "/age", "detail": "Not a number."}],
    } == json.loads(problem.to_json())


def test_further_members_stand_beside_the_others_and_what_is_not_there_is_left_out():
    problem = Problem(status=410, slug="gone", title="Deleted", extra={"version": 3})

    assert {
        "type": type_of("gone"),
        "title": "Deleted",
        "status": 410,
        "version": 3,
    } == problem.members()


@pytest.mark.parametrize("code", [134, 189, 262, 11602], ids=str)
def test_a_server_that_cannot_answer_just_now_is_503(code):
    problem = problem_for(OperationFailure("No.", code))

    assert (503, "1") == (problem.status, problem.headers["Retry-After"])


def test_another_writer_that_was_in_the_way_of_a_read_is_503():
    problem = problem_for(OperationFailure("WriteConflict", 112))

    assert (503, "Another writer was in the way. Try again.") == (problem.status, problem.detail)
