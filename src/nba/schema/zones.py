"""Time zones of stores, and what stands in where a store has none."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


@lru_cache
def known_zone(name: str) -> ZoneInfo | None:
    """Return the zone of an IANA name, or None for a name that is none.

    >>> known_zone("Australia/Perth")
    zoneinfo.ZoneInfo(key='Australia/Perth')
    >>> known_zone("China Standard Time") is None
    True
    """
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, a folder of the data, or outside it
        return None


def zone_or(name: str | None, otherwise: ZoneInfo) -> ZoneInfo:
    """Return the zone of `name`, or `otherwise` where it is no zone."""
    return (known_zone(name) if name else None) or otherwise


def minutes_ahead(name: str, here: ZoneInfo, moment: datetime) -> float:
    """Return by how many minutes the clocks of a zone are ahead of those of `here`.

    Parameters
    ----------
    name : str
        IANA name; 0 for a name that is none.
    here : ZoneInfo
    moment : datetime
        Naive, by the clocks of the zone.

    Examples
    --------
    >>> minutes_ahead("Australia/Perth", ZoneInfo("Australia/Sydney"), datetime(2027, 2, 25, 12))
    -180.0
    """
    there = moment.replace(tzinfo=zone_or(name, here))
    difference = (there.utcoffset() or timedelta()) - (
        there.astimezone(here).utcoffset() or timedelta()
    )
    return difference / timedelta(minutes=1)
