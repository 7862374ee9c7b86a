"""Public holidays of a country, as a table of days."""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib.resources import files
from typing import Final

import polars as pl

SCHEMA: Final = {"day": pl.Date, "holiday": pl.String}


@cache
def country_of(time_zone: str) -> str:
    """Return the ISO 3166 code of the country that an IANA time zone lies in; "" for none.

    Of several countries that share a zone, the most populous one.

    >>> country_of("Asia/Shanghai"), country_of("Europe/London"), country_of("UTC")
    ('CN', 'GB', '')
    """
    for line in files("tzdata.zoneinfo").joinpath("zone1970.tab").read_text().splitlines():
        codes, *rest = line.split("\t")
        if not codes.startswith("#") and len(rest) > 1 and rest[1] == time_zone:
            return codes.split(",")[0]
    return ""


def holidays_of(country: str, first: date, last: date) -> pl.DataFrame:
    """Return the public holidays of a country from `first` to `last`, by day.

    Parameters
    ----------
    country : str
        ISO 3166 code, or that of a part such as GB-ENG; what is not known has none.
    first, last : date

    Returns
    -------
    polars.DataFrame
        `day`, `holiday`; days that only make up for others are left out.
    """
    from holidays import country_holidays

    years, (code, _, part) = range(first.year, last.year + 1), country.partition("-")
    try:
        known = dict(country_holidays(code, part or None, years=years, language="en_US"))
    except NotImplementedError:
        known = {}
    rows = [
        (day, name)
        for day, name in sorted(known.items())
        if first <= day <= last and "substituted" not in name
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
