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


#: White space around a text, those of other scripts and of web pages among them.
SPACES = " \t\r\n\u00a0\u3000"


def trimmed(value: str) -> str:
    """Return the SQL of a text without white space around it; to look for some costs little.

    >>> trimmed("a")[:32]
    "CASE WHEN a < '!' OR suffix(a, '"
    """
    ends = " OR ".join(f"suffix({value}, {text(space)})" for space in SPACES)
    starts = " OR ".join(f"prefix({value}, {text(space)})" for space in SPACES if space > "!")
    found = f"{value} < '!' OR {ends} OR {starts}"
    return f"CASE WHEN {found} THEN trim({value}, {text(SPACES)}) ELSE {value} END"


def moment(value: datetime) -> str:
    """Quote an aware datetime as a timestamp with time zone."""
    return f"TIMESTAMPTZ {text(value.isoformat())}"


#: A folder called `store_id=9` above a lake is no column of its tables.
PLAIN = "union_by_name = true, hive_partitioning = false"


def parquet(paths: Iterable[Path], options: str = PLAIN) -> str:
    """Return the table function that reads `paths`."""
    return f"read_parquet([{texts(str(path) for path in paths)}], {options})"
