"""SQL text: names and literals quoted in one place."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path


def name(identifier: str) -> str:
    """Quote an identifier.

    >>> name('Customer ID')
    '"Customer ID"'
    """
    return '"' + identifier.replace('"', '""') + '"'


def names(identifiers: Iterable[str], prefix: str = "") -> str:
    """Quote identifiers and join them with commas, each behind `prefix`."""
    return ", ".join(f"{prefix}{name(identifier)}" for identifier in identifiers)


def text(value: str) -> str:
    """Quote a text literal.

    >>> text("it's")
    "'it''s'"
    """
    return "'" + value.replace("'", "''") + "'"


def texts(values: Iterable[str]) -> str:
    """Quote text literals and join them with commas."""
    return ", ".join(text(value) for value in values)


def literal(value: object) -> str:
    """Quote a constant of a mapping: text, number or boolean."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return text(str(value))


def bound(value: str, name: str, body: str) -> str:
    """Return the SQL of `body` in which `name` stands for a value that is computed once.

    A scalar subquery would do too, but becomes a join of the whole table with itself.

    Parameters
    ----------
    value : str
    name : str
        No column may have it.
    body : str

    >>> bound("a + b", "_c", "_c * _c")
    'list_transform([a + b], lambda _c: _c * _c)[1]'
    """
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def moment(value: datetime) -> str:
    """Quote an aware datetime as a timestamp with time zone."""
    return f"TIMESTAMPTZ {text(value.isoformat())}"


#: A folder called `store_id=9` above a lake is no column of its tables.
PLAIN = "union_by_name = true, hive_partitioning = false"


def parquet(paths: Iterable[Path], options: str = PLAIN) -> str:
    """Return the table function that reads `paths`."""
    return f"read_parquet([{texts(str(path) for path in paths)}], {options})"
