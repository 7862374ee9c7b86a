"""Generated requests: whatever is sent, the service answers as its OpenAPI document says."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from tests.serving.conftest import NOW, PLAN, Shop, actions_frame

from nba.serving import Services, create_app
from nba.serving.attempts import WINDOW_SECONDS, WrongKeys
from nba.stores.access import Scope
from nba.stores.operational import OperationalStore


def service(store: Any) -> Any:
    app = create_app(Services(store, Shop(), clock=lambda: NOW, preview=lambda changes: {}))
    # the checks send many wrong keys, and each is to be answered as one
    app.state.wrong_keys = WrongKeys(clock=count(step=WINDOW_SECONDS).__next__)
    return app


#: Read from the document itself, so that a new endpoint is tested from its first day.
OPERATIONS = [
    (method, path) for path, item in service(None).openapi()["paths"].items() for method in item
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperationalStore]:
    folder: Path = tmp_path_factory.mktemp("schema")
    opened = OperationalStore(f"sqlite:///{folder / 'operations.db'}", clock=lambda: NOW)
    opened.publish(PLAN, actions_frame())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def headers(store: OperationalStore) -> dict[str, str]:
    return {"Authorization": f"Bearer {store.create_key(Scope.ADMIN).token}"}


@pytest.fixture(scope="module")
def api(store: OperationalStore) -> BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", service(store))


#: How long the long run lasts; `NBA_LONG_SECONDS` says otherwise.
LONG_SECONDS = float(os.environ.get("NBA_LONG_SECONDS", "600"))
#: Calls whose cursor or version is text to the schema, yet only what was given out is one.
GIVEN_OUT = {"/v1/clerks/{clerk_id}/actions", "/v1/clerks/{clerk_id}/actions/changes"}


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_as_documented(
    api: BaseSchema, headers: dict[str, str], method: str, path: str
) -> None:
    excluded = [positive_data_acceptance] if path in GIVEN_OUT else []

    @seed(1)
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method.upper()].as_strategy())
    def check(case: Case) -> None:
        case.call_and_validate(headers=headers, excluded_checks=excluded)

    check()


def breaks_nothing(case: Case) -> bool:
    """Whether a call that is meant to be wrong is none as it is sent.

    The run puts its key into every call, also where the generator left the key out, and parameters
    beyond those of the document are ignored, as it says nowhere that they are refused.
    """
    broken = getattr(case.meta.phase.data, "mutations", ()) if case.meta else ()
    return bool(broken) and all(
        one.parameter_location is not ParameterLocation.BODY
        and (
            set(one.keywords) == {"additionalProperties"}
            or (one.parameter_location, *one.keywords) == (ParameterLocation.HEADER, "required")
        )
        for one in broken
    )


def follow_links(
    api: BaseSchema, headers: dict[str, str], examples: int, first: int, seen: Counter[Any]
) -> None:
    """Run calls that take what earlier answers gave; count how often each had which status."""
    machine: Any = api.as_state_machine()

    class Calls(machine):  # type: ignore[misc]
        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"headers": headers}

        def validate_response(self, response: Any, case: Case, **_: Any) -> None:
            seen[case.operation.label, response.status_code] += 1
            # a precondition, a moment to come, what fields say together: no schema tells them
            excluded: list[Any] = [positive_data_acceptance]
            if breaks_nothing(case):
                excluded.append(negative_data_rejection)
            if response.status_code == 503:
                # no models stand behind this service: that one may come later is documented
                excluded.append(not_a_server_error)
            case.validate_response(response, headers=headers, excluded_checks=excluded)

    run = settings(
        max_examples=examples,
        stateful_step_count=8,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(first)(Calls), settings=run)


def test_calls_that_follow_each_other_are_answered_as_documented(
    api: BaseSchema, headers: dict[str, str]
) -> None:
    seen: Counter[Any] = Counter()
    follow_links(api, headers, 12, 1, seen)
    assert {status for _, status in seen} >= {200, 404}
    assert len({label for label, _ in seen}) > 5


@pytest.mark.proof
def test_a_long_run_of_calls_finds_nothing(api: BaseSchema, headers: dict[str, str]) -> None:
    seen: Counter[Any] = Counter()
    until, first = time.monotonic() + LONG_SECONDS, 0
    while time.monotonic() < until:
        first += 1
        # the service remembers what it was told: the same calls again may lead to other ones,
        # which the generator of calls takes for a fault of its own and ends the round
        with suppress(FlakyStrategyDefinition):
            follow_links(api, headers, 50, first, seen)
    calls = sum(seen.values())
    print(
        f"{calls:,} calls of {len({label for label, _ in seen})} operations in {LONG_SECONDS:g} s"
    )
    print(sorted(Counter(status for _, status in seen.elements()).items()))
    assert calls > LONG_SECONDS
    assert not [one for one in seen if one[1] >= 500 and one[1] != 503]
