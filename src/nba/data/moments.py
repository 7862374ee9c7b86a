"""Moments as text: one set of rules for files, requests and frames.

A moment is written as ISO 8601. With a zone (`Z`, `UTC`, `GMT`, an offset, an IANA name) it is
that moment; without one it stands in the project's zone. A zone that is not understood is
refused, never dropped: abbreviations such as `EST` or `CST` mean several zones. A local time
that happens twice is read as the second one, one that does not happen as one hour later.

The rules stand here twice, as Python for single values and as SQL for whole columns; both use
the same expressions, and a test compares them value by value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from nba.data import clock, sql

#: What stands behind a time of day: a zone, also after the half of the day, or that alone.
ZONE_PATTERN: Final = (
    r"[Tt ]\d{1,2}:?\d{2}(?::?\d{2}(?:[.,]\d+)?)?\s*(?:[AaPp]\.?[Mm]\.?\s+)?"
    r"(\[?[A-Za-z][A-Za-z0-9_/+\-]*\]?|[+\-]\d{1,2}(?::?\d{2})?)$"
)
ISO_PATTERN: Final = (
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:[Tt ] *(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?)?"
)
OFFSET_PATTERN: Final = r"[+\-](\d{1,2}):?(\d{2})?"
#: Names of the zone without an offset.
UTC_NAMES: Final = ("Z", "UTC", "GMT", "UT")
_HALF_DAYS: Final = ("AM", "PM", "A", "P")
#: No clock stands further from UTC.
_MOST_HOURS: Final = 14
ZONE_EXPECTED: Final = (
    "no zone, Z, UTC, GMT, an offset such as +08:00, or a name such as Asia/Shanghai"
)


class BadMomentError(ValueError):
    """A text that is no moment.

    Parameters
    ----------
    rule : str
        `type`, or `zone` where only the zone is not understood.
    expected : str
    """

    def __init__(self, rule: str, expected: str) -> None:
        super().__init__(expected)
        self.rule = rule
        self.expected = expected


@dataclass(frozen=True)
class Moment:
    """A moment in UTC, and the clock change that it falls into (a code of `clock`), or 0."""

    value: datetime
    change: int = 0


def parse_moment(text: str, zone: ZoneInfo) -> Moment:
    """Read one moment.

    Parameters
    ----------
    text : str
    zone : ZoneInfo
        In which a text without a zone stands.

    Raises
    ------
    BadMomentError

    Examples
    --------
    >>> shanghai = ZoneInfo("Asia/Shanghai")
    >>> parse_moment("2026-03-01 09:30", shanghai).value.isoformat()
    '2026-03-01T01:30:00+00:00'
    >>> parse_moment("2026-03-01 09:30 GMT", shanghai).value.isoformat()
    '2026-03-01T09:30:00+00:00'
    """
    text = text.strip()
    name = _zone_of(text)
    naive = _iso(text[: len(text) - len(name)].strip() if name else text)
    try:
        return _placed(naive, name, zone)
    except OverflowError:
        raise BadMomentError("type", "a moment of this age") from None


def at(naive: datetime, zone: ZoneInfo) -> Moment:
    """Return the moment of a local time.

    Examples
    --------
    >>> twice = at(datetime(2026, 10, 25, 1, 30), ZoneInfo("Europe/London"))
    >>> twice.value.hour, twice.change == clock.AMBIGUOUS
    (1, True)
    """
    first, second = (naive.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    assert first is not None
    assert second is not None
    change = 0
    if first != second:
        change = clock.AMBIGUOUS if first > second else clock.MISSING
    return Moment((naive - min(first, second)).replace(tzinfo=UTC), change)


def _zone_of(text: str) -> str:
    """Return the zone at the end of a text as it is written, else an empty text."""
    match = re.search(ZONE_PATTERN, text, re.ASCII)
    name = match.group(1) if match else ""
    return "" if name.upper() in _HALF_DAYS else name


def _iso(body: str) -> datetime:
    match = re.fullmatch(ISO_PATTERN, body, re.ASCII)
    if match is None:
        raise BadMomentError("type", "an ISO 8601 moment")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    ends_day = (hour, minute, second) == (24, 0, 0)
    fraction = int((match.group(7) or "0").ljust(6, "0")[:6])
    try:
        naive = datetime(year, month, day, 0 if ends_day else hour, minute, second, fraction)
        return naive + timedelta(days=1) if ends_day else naive
    except (ValueError, OverflowError):
        raise BadMomentError("type", "a day and a time that exist") from None


def _placed(naive: datetime, name: str, zone: ZoneInfo) -> Moment:
    if not name:
        return at(naive, zone)
    if name.upper() in UTC_NAMES:
        return Moment(naive.replace(tzinfo=UTC))
    offset = re.fullmatch(OFFSET_PATTERN, name, re.ASCII)
    if offset is not None:
        hours, minutes = int(offset.group(1)), int(offset.group(2) or 0)
        if hours <= _MOST_HOURS and minutes < 60:
            shift = timedelta(hours=hours, minutes=minutes)
            return Moment((naive + shift if name[0] == "-" else naive - shift).replace(tzinfo=UTC))
    elif "/" in name and name.strip("[]") in _known_zones():
        return Moment(at(naive, ZoneInfo(name.strip("[]"))).value)
    raise BadMomentError("zone", ZONE_EXPECTED)


@lru_cache(maxsize=1)
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones())


# ------------------------------------------------------------------ SQL


def zone_sql(raw: str) -> str:
    """Return the SQL of the zone at the end of a text, empty where there is none."""
    name = f"regexp_extract({raw}, {sql.text(ZONE_PATTERN)}, 1)"
    return f"CASE WHEN upper({name}) IN ({sql.texts(_HALF_DAYS)}) THEN '' ELSE {name} END"


def body_sql(raw: str) -> str:
    """Return the SQL of a text without the zone at its end."""
    return f"trim(left({raw}, length({raw}) - length({zone_sql(raw)})))"


def iso_sql(body: str) -> str:
    """Return the SQL of the local time that a text without a zone writes as ISO 8601."""
    plain = f"translate({body}, 't,', 'T.')"
    return (
        f"CASE WHEN regexp_full_match({body}, {sql.text(ISO_PATTERN)}) "
        f"THEN TRY_CAST({plain} AS TIMESTAMP) END"
    )


def placed_sql(naive: str, name: str, zone: str) -> str:
    """Return the SQL of the moment of a local time in the zone called `name`.

    Parameters
    ----------
    naive, name : str
        SQL of the local time, and of the zone's name as `zone_sql` gives it.
    zone : str
        Where times stand that name none.
    """
    parts = f"regexp_extract({name}, {sql.text('^' + OFFSET_PATTERN + '$')}, ['h', 'm'])"
    hours = f"CAST({parts}.h AS BIGINT)"
    minutes = f"coalesce(TRY_CAST({parts}.m AS BIGINT), 0)"
    sign = f"CASE WHEN starts_with({name}, '-') THEN -1 ELSE 1 END"
    offset = f"({sign}) * ({hours} * 60 + {minutes}) * 60000000"
    moment = "make_timestamptz(epoch_us({}){})"
    offsets = sql.text(OFFSET_PATTERN)
    named = f"trim({name}, '[]')"
    return (
        f"CASE WHEN {name} = '' THEN {clock.moment(naive, zone)} "
        f"WHEN upper({name}) IN ({sql.texts(UTC_NAMES)}) THEN {moment.format(naive, '')} "
        f"WHEN regexp_full_match({name}, {offsets}) THEN "
        f"CASE WHEN {hours} <= {_MOST_HOURS} AND {minutes} < 60 "
        f"THEN {moment.format(naive, f' - {offset}')} END "
        f"WHEN contains({name}, '/') "
        f"THEN TRY_CAST(CAST({naive} AS VARCHAR) || ' ' || {named} AS TIMESTAMPTZ) END"
    )


def unknown_zone_sql(raw: str) -> str:
    """Return the SQL that is true where a text ends in a zone that is not understood."""
    placed = placed_sql("TIMESTAMP '2000-01-01'", zone_sql(raw), "UTC")
    return f"({zone_sql(raw)} <> '' AND ({placed}) IS NULL)"


def moment_sql(raw: str, zone: str, naives: Sequence[str] = ()) -> str:
    """Return the SQL of the moment that a text writes, NULL where it writes none.

    Parameters
    ----------
    raw : str
        SQL of the text.
    zone : str
        Where times stand that name no zone.
    naives : sequence of str
        SQL of the local time in other ways of writing, tried in turn.
    """
    # The plain form, by far the most frequent, is known without a regular expression.
    plain = f"strlen({raw}) = 19 AND {raw}[17] = ':' AND {raw}[5] = '-' AND {raw}[19] <= '9'"
    text = f"trim({raw})"
    local = iso_sql(body_sql(text))
    if naives:
        local = f"coalesce({', '.join([local, *naives])})"
    written = f"{{'local': {local}, 'zone': {zone_sql(text)}}}"
    placed = sql.bound(written, "_m", placed_sql("_m.local", "_m.zone", zone))
    return (
        f"CASE WHEN {plain} THEN {clock.moment(f'TRY_CAST({raw} AS TIMESTAMP)', zone, raw)} "
        f"ELSE {placed} END"
    )
