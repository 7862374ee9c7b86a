"""Clock changes: local times that happen twice, and local times that do not happen at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import duckdb

from nba.data import sql

#: Codes of a staged row's `_clock`.
MISSING, AMBIGUOUS = 1, 2
_STEP = timedelta(days=1)
_FIRST, _FAR = datetime(1990, 1, 1), datetime(2045, 1, 1)


@lru_cache
def changes(
    zone: str, first: datetime, last: datetime
) -> tuple[tuple[int, datetime, datetime], ...]:
    """Return the local intervals (code, start, end) that are missing or ambiguous.

    >>> changes("Europe/London", datetime(2011, 3, 1), datetime(2011, 4, 1))
    ((1, datetime.datetime(2011, 3, 27, 1, 0), datetime.datetime(2011, 3, 27, 2, 0)),)
    """
    intervals = []
    for change, before, after in _shifts(zone, first, last):
        old, new = (change + offset for offset in (before, after))
        intervals.append((MISSING if new > old else AMBIGUOUS, min(old, new), max(old, new)))
    return tuple(intervals)


@lru_cache
def _shifts(
    zone: str, first: datetime, last: datetime
) -> tuple[tuple[datetime, timedelta, timedelta], ...]:
    """Return the moments (UTC, naive) at which clocks change, the offsets before and after."""
    place, moment = ZoneInfo(zone), first.replace(tzinfo=UTC)
    shifts = []
    before = moment.astimezone(place).utcoffset()
    while moment < last.replace(tzinfo=UTC):
        after = (moment + _STEP).astimezone(place).utcoffset()
        if before is not None and after is not None and before != after:
            change = _exact(moment, moment + _STEP, place)
            shifts.append((change.replace(tzinfo=None), before, after))
        moment, before = moment + _STEP, after
    return tuple(shifts)


def _exact(low: datetime, high: datetime, place: ZoneInfo) -> datetime:
    """Find the moment of a change to the second, by halving."""
    start = low.astimezone(place).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(place).utcoffset() == start:
            low = middle
        else:
            high = middle
    return high


@lru_cache
def steady(zone: str) -> tuple[datetime, timedelta] | None:
    """Return the local time since which a zone keeps one offset, and the offset.

    None for a zone whose clocks go on changing.

    >>> steady("Asia/Shanghai")
    (datetime.datetime(1991, 9, 15, 2, 0), datetime.timedelta(seconds=28800))
    >>> steady("Europe/London") is None
    True
    """
    intervals = changes(zone, _FIRST, _FAR)
    since = intervals[-1][2] if intervals else _FIRST
    if since.year >= _FAR.year - 1:
        return None
    offset = since.replace(tzinfo=ZoneInfo(zone)).utcoffset()
    return None if offset is None else (since, offset)


def moment(naive: str, zone: str, since: str = "") -> str:
    """Return the SQL of the moment at which a local time stands.

    Parameters
    ----------
    naive : str
        SQL of the local time.
    zone : str
    since : str
        SQL of the local time, where that is cheaper to compare, as text for instance.
    """
    general = f"timezone({sql.text(zone)}, {naive})"
    fixed = steady(zone)
    if fixed is None:
        return general
    start, offset = fixed
    shift = offset // timedelta(microseconds=1)
    # Whole numbers instead of the calendar, which takes ten times as long.
    fast = f"make_timestamptz(epoch_us({naive}) - {shift})"
    return f"CASE WHEN {since or naive} >= '{start}' THEN {fast} ELSE {general} END"


def local(moment: str, zone: str) -> str:
    """Return the SQL of the local time at a moment: the opposite of `moment`.

    Parameters
    ----------
    moment : str
        SQL of a time with time zone.
    zone : str
    """
    general = f"timezone({sql.text(zone)}, {moment})"
    if not _as_calendar(zone):
        return general
    since, offsets = _offsets(zone)

    def shift(low: int, high: int) -> str:
        # The offset of a moment between two changes, by halving: some comparisons for each row.
        if low == high:
            return str(offsets[low] // timedelta(microseconds=1))
        middle = (low + high + 1) // 2
        return (
            f"CASE WHEN {moment} < {_utc(since[middle - 1])} THEN {shift(low, middle - 1)} "
            f"ELSE {shift(middle, high)} END"
        )

    # Whole numbers instead of the calendar, which takes thirty times as long.
    fast = f"make_timestamp(epoch_us({moment}) + {shift(0, len(since))})"
    within = f"{moment} >= {_utc(_FIRST)} AND {moment} < {_utc(_FAR)}"
    return f"CASE WHEN {within} THEN {fast} ELSE {general} END"


def _utc(moment: datetime) -> str:
    return f"TIMESTAMPTZ '{moment}+00'"


def _offsets(zone: str) -> tuple[list[datetime], list[timedelta]]:
    """Return the moments of all changes, and the offsets before the first and after each."""
    shifts = _shifts(zone, _FIRST, _FAR)
    first = _FIRST.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()
    since = [change for change, _, _ in shifts]
    return since, [first or timedelta(), *(after for _, _, after in shifts)]


@lru_cache
def _as_calendar(zone: str) -> bool:
    """Return whether DuckDB's calendar, which may be of another year, has the same offsets."""
    since, offsets = _offsets(zone)
    second = timedelta(seconds=1)
    moments = [_FIRST, *since, *(change - second for change in since)]
    rows = ", ".join(
        f"({_utc(moment)}, {offset // timedelta(microseconds=1)})"
        for moment, offset in zip(moments, [*offsets, *offsets[:-1]], strict=True)
    )
    ours = (
        f"SELECT 1 FROM (VALUES {rows}) AS t (ts, shift) "
        f"WHERE epoch_us(timezone({sql.text(zone)}, ts)) <> epoch_us(ts) + shift LIMIT 1"
    )
    with duckdb.connect() as connection:
        return not connection.execute(ours).fetchall()


def condition(naive: str, moment: str, zone: str, first: datetime, last: datetime) -> str:
    """Return the SQL that gives a local time its code, NULL for ordinary times.

    Parameters
    ----------
    naive : str
        SQL of the local time; NULL where the source gives a zone.
    moment : str
        SQL of the same time with time zone; a cheap look at its date comes first.
    zone : str
    first, last : datetime
        The span that matters.
    """
    intervals = changes(zone, first, last)
    if not intervals:
        return "NULL"
    days = {
        (start + timedelta(days=offset)).date()
        for _, start, _ in intervals
        for offset in (-1, 0, 1)
    }
    listed = ", ".join(f"DATE '{day}'" for day in sorted(days))
    cases = " ".join(
        f"WHEN _n >= TIMESTAMP '{start}' AND _n < TIMESTAMP '{end}' THEN {code}"
        for code, start, end in intervals
    )
    day = f"CAST(make_timestamp(epoch_us({moment})) AS DATE)"
    return f"CASE WHEN {day} IN ({listed}) THEN {sql.bound(naive, '_n', f'CASE {cases} END')} END"


def note(code: int, zone: str) -> str:
    """Return how a single time at a clock change was read."""
    if code == MISSING:
        return f"falls into an hour that does not exist in {zone}; read as one hour later"
    return f"falls into an hour that happens twice in {zone}; read as the second one"


def line(code: int, number: int, zone: str) -> str:
    """Return the sentence of the report."""
    if code == MISSING:
        return (
            f"{number:,} times fall into an hour that does not exist in {zone} (clocks went "
            "forward); they were read as one hour later"
        )
    return (
        f"{number:,} times fall into an hour that happens twice in {zone} (clocks went back); "
        "they were read as the second one"
    )
