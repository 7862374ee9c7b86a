"""The feature views once more, written by hand in DuckDB's SQL: the yardstick, never the product.

The benchmark runs it beside the Ibis views for the same columns, and a test holds both to the
same values: two people who wrote the same definition twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.resources import files
from typing import Final

from nba.features.prepare import day_number

#: Shared tables first, then one query per view.
SHARED: Final = "shared.sql"
VIEWS: Final = (
    "customer_state",
    "customer_behaviour",
    "customer_category",
    "customer_product",
    "customer_contact",
    "customer_browsing",
    "customer_tags",
    "product",
    "clerk",
    "store",
)


def _text(name: str, as_of: datetime) -> str:
    text = files(__package__).joinpath(name).read_text(encoding="utf-8")
    replaced = {
        "$as_of": f"TIMESTAMP '{as_of.isoformat(sep=' ')}'",
        "$today": str(day_number(as_of)),
        "$isoweekday": f"'{as_of.isoweekday()}'",
        "$date": f"DATE '{as_of.date().isoformat()}'",
        "$year": str(as_of.year),
    }
    for mark, value in replaced.items():
        text = text.replace(mark, value)
    return text


def shared_statements(as_of: datetime) -> Iterator[str]:
    """Give the statements that make the shared temporary tables."""
    for statement in _text(SHARED, as_of).split(";"):
        if statement.strip():
            yield statement
    yield f"CREATE OR REPLACE TEMP TABLE ref_state AS {_text('customer_state.sql', as_of)}"


def queries(as_of: datetime) -> Mapping[str, str]:
    """Return the query of each view; they read the tables of the contract by their names."""
    written = {name: _text(f"{name}.sql", as_of) for name in VIEWS}
    return {**written, "customer_state": "SELECT * FROM ref_state"}
