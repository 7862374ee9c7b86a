"""The SQL of the feature views, compiled once and dated anew each night.

Most of a small build is Ibis writing SQL. The SQL of two moments differs only in literals of
the moment (timestamps, days since 1970, the day of the year or week, the year) and in the number of
the tables' prefix. A template notes where these stand; one more moment proves that nothing else
differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from nba.features.engine import DuckDBEngine, write_views
from nba.features.view import View

#: Days from the first moment to the others: into another year, and not; the last one proves.
LATER_DAYS: Final = (142, 33, 64)
#: Numbers that a literal may follow, whatever its distance to them.
CALENDAR: Final[tuple[Callable[[datetime], int], ...]] = (
    lambda moment: moment.toordinal(),
    lambda moment: moment.timetuple().tm_yday,
    lambda moment: moment.year,
    lambda moment: moment.isoweekday(),
    lambda moment: moment.weekday(),
)
_TOKEN: Final = re.compile(
    r"MAKE_(?:TIMESTAMP|DATE)\(\d+, \d+, \d+|lake_\d+_|\d+|[A-Za-z_]+|.", re.DOTALL
)
_PREFIX: Final = re.compile(r"lake_\d+_")
_STAMP: Final = datetime(2000, 1, 1)
#: What a token becomes at a moment, with the prefix of its tables.
Part = Callable[[datetime, str], str]


@dataclass(frozen=True)
class Statement:
    """One step of a build: keep a table under a name, or give the rows of a view."""

    name: str
    is_view: bool
    sql: str


class RecordingEngine(DuckDBEngine):
    """Builds the views and notes every statement."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.statements: list[Statement] = []

    def keep(self, name: str, table: Any) -> Any:
        """Compute a table into a temporary one."""
        self.statements.append(Statement(name, False, self.query(table)))
        return super().keep(name, table)

    def write(self, table: Any, folder: Path, *, order_by: tuple[str, ...]) -> None:
        """Note the query of a view."""
        keys = ", ".join(f'"{key}"' for key in order_by)
        self.statements.append(Statement(folder.name, True, f"{self.query(table)} ORDER BY {keys}"))

    def release(self, name: str) -> None:
        """Keep what is kept: a build that repeats it replaces it."""


@dataclass(frozen=True)
class ViewTemplates:
    """The statements of a build, with the literals of the moment left open."""

    statements: tuple[tuple[Statement, tuple[str | Part, ...]], ...]

    @classmethod
    def of(
        cls,
        views: Mapping[str, View],
        tables: Callable[[datetime], Mapping[str, Any]],
        as_of: datetime,
    ) -> ViewTemplates:
        """Compile the views at four moments.

        Parameters
        ----------
        views : mapping of str to View
        tables : callable
            Gives the tables of the contract at a moment.
        as_of : datetime

        Raises
        ------
        ValueError
            When the SQL depends on the moment in another way than is known.
        """
        moments = [as_of, *(as_of + timedelta(days=days) for days in LATER_DAYS)]
        built = [_record(views, tables(moment), moment) for moment in moments]
        made = tuple(
            (same[0], statement_parts([one.sql for one in same], moments[:-1]))
            for same in zip(*built[:-1], strict=True)
        )
        for (_, parts), expected in zip(made, built[-1], strict=True):
            prefix = _PREFIX.search(expected.sql)
            if dated(parts, moments[-1], prefix[0] if prefix else "") != expected.sql:
                raise ValueError(f"the SQL of {expected.name} depends on the moment otherwise")
        return cls(made)

    def run(
        self, connection: Any, as_of: datetime, prefix: str, names: set[str]
    ) -> dict[str, pl.DataFrame]:
        """Build some views at a moment, from the tables with a prefix; return them by name."""
        built: dict[str, pl.DataFrame] = {}
        for statement, parts in self.statements:
            if statement.is_view and statement.name not in names:
                continue
            if statement.name.startswith("view_") and statement.name[5:] not in names:
                continue
            sql = dated(parts, as_of, prefix)
            if statement.is_view:
                built[statement.name] = connection.con.execute(sql).pl()
            else:
                kept = f'CREATE OR REPLACE TEMP TABLE "kept_{statement.name}" AS {sql}'
                connection.con.execute(kept)
        return built


def prefix_of(tables: Mapping[str, Any]) -> str:
    """Return the prefix under which the tables of a moment were made."""
    found = _PREFIX.search(str(tables["transactions"].compile()))
    assert found is not None
    return found[0]


def _record(
    views: Mapping[str, View], tables: Mapping[str, Any], as_of: datetime
) -> list[Statement]:
    engine = RecordingEngine(tables["customers"].get_backend())
    folders = {name: Path(name) for name in views}
    write_views(
        engine, views, tables, as_of, folders, event_timestamp=_STAMP, created_timestamp=_STAMP
    )
    return engine.statements


def statement_parts(
    statements: Sequence[str], moments: Sequence[datetime]
) -> tuple[str | Part, ...]:
    """Return the text of one statement with a part for each token that the moment decides."""
    tokens = [_TOKEN.findall(sql) for sql in statements]
    if len({len(one) for one in tokens}) > 1:
        raise ValueError("statements of two moments differ in more than their literals")
    parts: list[str | Part] = []
    fixed: list[str] = []
    for same in zip(*tokens, strict=True):
        if len(set(same)) == 1 and not same[0].startswith("lake_"):
            fixed.append(same[0])
            continue
        parts += ["".join(fixed), _part(same, moments)]
        fixed = []
    return (*parts, "".join(fixed))


def _part(tokens: Sequence[str], moments: Sequence[datetime]) -> Part:
    """Return how a token follows the moment."""
    if tokens[0].startswith("lake_"):
        return lambda moment, prefix: prefix
    if tokens[0].startswith("MAKE_"):
        name = tokens[0].partition("(")[0]
        away = {_timestamp(token) - moment for token, moment in zip(tokens, moments, strict=True)}
        if len(away) == 1:
            distance = away.pop()
            return lambda moment, prefix: _literal(name, moment + distance)
    for number in CALENDAR:
        offsets = {int(text) - number(moment) for text, moment in zip(tokens, moments, strict=True)}
        if len(offsets) == 1:
            return _follow(number, offsets.pop())
    raise ValueError(f"a literal follows the moment in an unknown way: {', '.join(tokens)}")


def _follow(number: Callable[[datetime], int], offset: int) -> Part:
    return lambda moment, prefix: str(number(moment) + offset)


def _timestamp(token: str) -> datetime:
    year, month, day = (int(text) for text in re.findall(r"\d+", token))
    return datetime(year, month, day)


def _literal(name: str, moment: datetime) -> str:
    return f"{name}({moment.year}, {moment.month}, {moment.day}"


def dated(parts: tuple[str | Part, ...], moment: datetime, prefix: str) -> str:
    """Return a statement at a moment, over the tables with a prefix."""
    return "".join(part if isinstance(part, str) else part(moment, prefix) for part in parts)
