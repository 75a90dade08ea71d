"""A public fuzzer asks the running API all that its description allows, and what it forbids.

No answer may be a failure of the server or one that is not described: its status, its content
type, its header fields, its body.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bzz.audit import Auditor
from bzz.openapi.route import Description
from tests.house import own_registry
from tests.openapi.conftest import routes_of
from tests.openapi.stand_ins import parameters_for
from tests.openapi.world import define

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

METHODS = ("get", "post", "put", "patch", "delete")


def labels() -> list[str]:
    """The names of all operations that are described: 'GET /person/'."""
    with own_registry():
        auditor = Auditor(work=False)
        routes = [*routes_of(define(), auditor), *auditor.routes()]
        paths = Description(routes, title="World", version="1").document()["paths"]
    return [
        f"{method.upper()} {path}"
        for path, item in paths.items()
        for method in METHODS
        if method in item
    ]


@pytest.fixture(scope="module")
def described(world: Any) -> Any:
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{world.server.port}/openapi.json")


@pytest.fixture(scope="module")
def met() -> Counter[int]:
    """How often each status was the answer."""
    return Counter()


LABELS = labels()


def fuzz(world: Any, described: Any, label: str, examples: int) -> Counter[int]:
    """Ask an operation; half of the requests or more are for a document that is there."""
    met: Counter[int] = Counter()
    operation = described.find_operation_by_label(label)
    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, there=st.integers(0, 3))
    def ask(case: Any, there: int) -> None:
        if there and case.path_parameters:
            case.path_parameters = {**case.path_parameters, **parameters_for(world, operation.path)}
        met[case.call_and_validate(checks=CHECKS).status_code] += 1

    ask()
    return met


@pytest.mark.parametrize("label", LABELS)
def test_every_answer_is_described(
    label: str, described: Any, world: Any, met: Counter[int]
) -> None:
    met.update(fuzz(world, described, label, 3))


@pytest.mark.soak
@pytest.mark.parametrize("label", LABELS)
def test_every_answer_is_described_however_long_one_asks(
    label: str, described: Any, world: Any
) -> None:
    fuzz(world, described, label, 100)


def test_the_fuzzer_met_success_and_refusals(met: Counter[int]) -> None:
    if sum(met.values()) < len(LABELS):
        pytest.skip("only some operations were asked")

    assert set() == {200, 201, 204, 400, 404, 422} - {*met}
