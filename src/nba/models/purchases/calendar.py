"""Days as whole numbers."""

from __future__ import annotations

from datetime import date, datetime

EPOCH = date(1970, 1, 1)


def day_number(moment: datetime | date) -> int:
    """Return the day of `moment` as days since 1970-01-01.

    >>> day_number(datetime(1970, 1, 3))
    2
    """
    return (date(moment.year, moment.month, moment.day) - EPOCH).days
