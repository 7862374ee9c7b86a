"""Days as whole numbers."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import polars as pl

from nba.arrays import Ints

EPOCH = date(1970, 1, 1)


def day_number(moment: datetime | date) -> int:
    """Return the day of `moment` as days since 1970-01-01.

    >>> day_number(datetime(1970, 1, 3))
    2
    """
    return (date(moment.year, moment.month, moment.day) - EPOCH).days


def day_numbers(moments: pl.Series) -> Ints:
    """Return the days of `moments`, dates or times, as days since 1970-01-01.

    >>> day_numbers(pl.Series([datetime(1970, 1, 3, 12)])).tolist()
    [2]
    """
    days = moments.cast(pl.Date).to_physical()
    return np.asarray(days.to_numpy(), dtype=np.int64)
