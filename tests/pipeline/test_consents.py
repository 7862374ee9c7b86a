"""Consents of the API over the customer state."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from polars.testing import assert_frame_equal

from nba.pipeline.consents import CONSENT_COLUMNS, with_consents

AS_OF = datetime(2026, 3, 2)
STATE = pl.DataFrame(
    {
        "customer_id": ["a", "b", "c", "d"],
        "consent_contact": [True, True, False, True],
        "consent_profiling": [True, True, True, True],
        "locale": ["zh", "en", None, None],
    }
)


TABLE_AT = datetime(2026, 2, 1)
CUSTOMERS = pl.DataFrame(
    {"customer_id": ["a", "b", "c", "d"], "consent_at": [None, TABLE_AT, TABLE_AT, None]},
    schema_overrides={"consent_at": pl.Datetime("us")},
)


def after(*said: tuple[str, bool, bool, datetime]) -> dict[str, tuple[bool, bool]]:
    """Return who differs from STATE after these consents, as (contact, profiling)."""
    schema = {
        "customer_id": pl.String,
        "consent_contact": pl.Boolean,
        "consent_profiling": pl.Boolean,
        "consent_at": pl.Datetime("us"),
    }
    consents = pl.DataFrame(list(said), schema=schema, orient="row")
    state = with_consents(STATE, CUSTOMERS, consents, AS_OF)
    assert_frame_equal(state.drop(CONSENT_COLUMNS), STATE.drop(CONSENT_COLUMNS))
    assert state.columns == STATE.columns
    return {
        new[0]: (new[1], new[2])
        for new, old in zip(state.iter_rows(), STATE.iter_rows(), strict=True)
        if new != old
    }


YESTERDAY = datetime(2026, 3, 1, 23, 59)


def test_what_was_withdrawn_before_counts_and_what_comes_later_does_not() -> None:
    assert after(("a", False, True, YESTERDAY), ("b", False, False, AS_OF)) == {"a": (False, True)}
    assert after(("d", True, False, YESTERDAY)) == {"d": (True, False)}


def test_the_latest_said_wins() -> None:
    assert after(("c", True, True, YESTERDAY)) == {"c": (True, True)}
    earlier = datetime(2026, 1, 1)
    assert after(("b", False, False, earlier), ("c", True, True, earlier)) == {}


def test_a_consent_said_later_hides_none_said_before() -> None:
    later = datetime(2026, 3, 3)
    assert after(("a", False, True, YESTERDAY), ("a", True, True, later)) == {"a": (False, True)}


def test_an_undated_no_of_the_tables_stands() -> None:
    state = STATE.with_columns(consent_contact=pl.lit(False))
    said = pl.DataFrame(
        {"customer_id": ["a"], "consent_contact": [True], "consent_profiling": [True]}
        | {"consent_at": [YESTERDAY]}
    )
    assert not with_consents(state, CUSTOMERS, said, AS_OF)["consent_contact"].any()


def test_without_consents_nothing_changes() -> None:
    assert after() == {}
