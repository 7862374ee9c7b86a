"""Generated requests: whatever is sent, the service answers as its OpenAPI document says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis import Case
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance
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


GIVEN_OUT = {"/v1/clerks/{clerk_id}/actions", "/v1/clerks/{clerk_id}/actions/changes"}


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_as_documented(
    api: BaseSchema, headers: dict[str, str], method: str, path: str
) -> None:
    # a cursor or version is text to the schema, yet only texts that the service gave out are such
    excluded = [positive_data_acceptance] if path in GIVEN_OUT else []

    @seed(1)
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method.upper()].as_strategy())
    def check(case: Case) -> None:
        case.call_and_validate(headers=headers, excluded_checks=excluded)

    check()
