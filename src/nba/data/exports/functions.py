"""The functions that the queries of exports use: plain SQL, made on a connection."""

from __future__ import annotations

from typing import Final

import duckdb

from nba.data import readings, sql

#: What exports call time zones that IANA calls otherwise.
ZONES: Final = {
    "Eastern Time (US & Canada)": "America/New_York",
    "Central Time (US & Canada)": "America/Chicago",
    "Mountain Time (US & Canada)": "America/Denver",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
    "Arizona": "America/Phoenix",
    "Alaska": "America/Anchorage",
    "Hawaii": "Pacific/Honolulu",
    "Atlantic Time (Canada)": "America/Halifax",
    "Newfoundland": "America/St_Johns",
    "London": "Europe/London",
    "Dublin": "Europe/Dublin",
    "Paris": "Europe/Paris",
    "Madrid": "Europe/Madrid",
    "Tokyo": "Asia/Tokyo",
    "Osaka": "Asia/Tokyo",
    "Sydney": "Australia/Sydney",
    "Melbourne": "Australia/Melbourne",
    "Brisbane": "Australia/Brisbane",
    "Adelaide": "Australia/Adelaide",
    "Perth": "Australia/Perth",
    "AWST": "Australia/Perth",
    "AEST": "Australia/Brisbane",
}


#: Signs as web pages write them; the ampersand last, since it begins them all.
_MARKUP: Final = {
    "&quot;": '"',
    "&#034;": '"',
    "&#039;": "'",
    "&#39;": "'",
    "&apos;": "'",
    "&nbsp;": " ",
    "&ndash;": "–",
    "&#8211;": "–",
    "&#8217;": "’",
    "&lt;": "<",
    "&gt;": ">",
    "&#038;": "&",
    "&amp;": "&",
}


def _unmarked(text: str) -> str:
    for old, new in _MARKUP.items():
        text = f"replace({text}, {sql.text(old)}, {sql.text(new)})"
    return text


def make(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the functions.

    `num` reads money as exports write it (`$1,234.50`, `(5.00)`), `digits` keeps digits, `plain`
    takes the markup of web pages from a text (`&amp;`), `order_state` gives the states of shop
    systems one form (`wc-on-hold`, `On hold`: `on-hold`),
    `day_of` takes the midnight from a day as workbooks write it (`2024-05-13 00:00:00`),
    `phones` takes the first of a list of numbers, `zone_name` returns the IANA name of a zone, and
    `share_upto(total, upto, whole)` is what falls, to the cent, on the first `upto` of `whole`.
    """
    names = " ".join(f"WHEN {sql.text(old)} THEN {sql.text(new)}" for old, new in ZONES.items())
    macros = {
        # plain numbers, by far the most, need no regular expression
        "num(t)": "CASE WHEN TRY_CAST(t AS DECIMAL(18, 4)) IS NOT NULL "
        "THEN CAST(t AS DECIMAL(18, 4)) ELSE "
        f"TRY_CAST({readings.number_sql('CAST(t AS VARCHAR)', readings.POINT)} "
        "AS DECIMAL(18, 4)) END",
        "digits(t)": "nullif(regexp_replace(t, '\\D', '', 'g'), '')",
        "plain(t)": f"CASE WHEN contains(t, '&') THEN {_unmarked('t')} ELSE t END",
        "order_state(t)": "regexp_replace(regexp_replace(lower(trim(t)), '[ _-]+', '-', 'g'), "
        "'^wc-', '')",
        "day_of(t)": "regexp_replace(t, '[ T]0?0:00(:00(\\.0+)?)?$', '')",
        "phones(t)": "nullif(trim(regexp_extract(t, '\\+?[0-9][0-9 ()-]{4,}')), '')",
        "zone_name(t)": f"CASE t {names} ELSE CASE WHEN contains(t, '/') THEN t ELSE '' END END",
        "share_upto(total, upto, whole)": "CAST(round(CAST(total AS DOUBLE) * CAST(upto AS DOUBLE) "
        "/ CAST(whole AS DOUBLE), 2) AS DECIMAL(18, 4))",
    }
    for signature, body in macros.items():
        connection.execute(f"CREATE OR REPLACE TEMP MACRO {signature} AS ({body})")
