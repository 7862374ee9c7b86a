"""The docs name every call, status, metric and file that there is, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nba.serving import Services, create_app
from nba.serving.errors import STATUS_OF
from nba.stores.schema import metadata


@pytest.fixture
def api_docs(repository: Path) -> str:
    return (repository / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.fixture
def operations_docs(repository: Path) -> str:
    return (repository / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_call_is_in_the_table_of_calls(services: Services, api_docs: str) -> None:
    rows = re.findall(r"^\| (`(?:GET|PUT|POST|DELETE).*?) \|", api_docs, flags=re.M)
    documented = {
        (method, path)
        for row in rows
        for methods, path in re.findall(r"`([A-Z ]+) (/[^`]+)`", row)
        for method in methods.split()
    }
    app = create_app(Services(services.store, services.cards, preview=lambda changes: {}))
    there = {
        (method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item
    }
    assert documented == there


def test_every_error_code_is_explained(api_docs: str) -> None:
    assert [code for _, _, code in STATUS_OF if f"`{code}`" not in api_docs] == []


def test_every_metric_and_table_is_explained(services: Services, operations_docs: str) -> None:
    app = create_app(services)
    families = app.state.metrics.registry.collect()
    names = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in families
    }
    assert [name for name in names if f"`{name}`" not in operations_docs] == []
    assert [name for name in metadata.tables if f"`{name}`" not in operations_docs] == []


def test_files_that_the_docs_name_are_there(repository: Path, operations_docs: str) -> None:
    named = set(re.findall(r"`(serving/[\w./-]+)`", operations_docs))
    assert len(named) >= 3
    assert [name for name in named if not (repository / name).exists()] == []


def test_metrics_are_in_the_prometheus_format(services: Services) -> None:
    from prometheus_client import generate_latest

    app = create_app(services)
    text = generate_latest(app.state.metrics.registry).decode()
    assert {family.name for family in text_string_to_metric_families(text)} >= {"nba_rows"}
