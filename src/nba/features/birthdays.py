"""Days to a birthday: one rule for features, decisions and single dates."""

from __future__ import annotations

from calendar import isleap
from datetime import date
from typing import Any


def day_of_year(month: Any, day: Any, year: int) -> Any:
    """Return the day of `year`, from 1; the 29th of February is the 28th in common years.

    Parameters
    ----------
    month, day : int, or column expression of whole numbers (Polars or Ibis)
        Only operators that all of these share are used; `//` rounds down.

    Examples
    --------
    >>> [day_of_year(2, 29, 2027), day_of_year(2, 29, 2028), day_of_year(12, 31, 2028)]
    [59, 60, 366]
    """
    from_march = (month + 9) // 12
    in_february = (month + 10) // 12 - from_march
    start = (month * 367 - 362) // 12
    if isleap(year):
        return start - from_march + day
    return start - 2 * from_march + day - in_february * (day // 29)


def days_to_birthday(month: Any, day: Any, today: date) -> Any:
    """Return the days from `today` to the next birthday, 0 on the day itself.

    Parameters
    ----------
    month, day : int, or column expression of whole numbers (Polars or Ibis)

    Examples
    --------
    >>> days_to_birthday(2, 29, date(2028, 2, 26)), days_to_birthday(2, 29, date(2027, 2, 26))
    (3, 2)
    """
    now = day_of_year(today.month, today.day, today.year)
    ahead = day_of_year(month, day, today.year) - now
    length = 366 if isleap(today.year) else 365
    following = day_of_year(month, day, today.year + 1) - now + length
    is_past = -(ahead // 366)  # 1 where it lies behind, else 0
    return ahead + is_past * (following - ahead)
