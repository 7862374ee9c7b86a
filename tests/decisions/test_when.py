"""Windows by the clocks of the store: shifts over midnight, zones, quiet hours."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nba.decisions.policy import ContactPolicy
from nba.decisions.when import best_start, contact_windows, quiet_shifts, reachable_hours
from nba.schema.words import CONTACT_MODES
from nba.schema.zones import minutes_ahead

DAY = datetime(2027, 2, 25)
REST = {"any_mode": 5, "same_mode": 10}
POLICY = ContactPolicy.model_validate({"cool_down": {str(mode): REST for mode in CONTACT_MODES}})
HOURS = {
    "shift_start": pl.String,
    "shift_end": pl.String,
    "purchase_hour_peak": pl.Float64,
    "purchase_days": pl.Float64,
    "response_hour_peak": pl.Float64,
    "responses_90d": pl.Float64,
    "ahead_minutes": pl.Float64,
}


def reach(start: str | None, end: str | None) -> tuple[float, float]:
    clerks = pl.DataFrame(
        {"clerk_id": ["k"], "shift_start": [start], "shift_end": [end]},
        schema_overrides={"shift_start": pl.String, "shift_end": pl.String},
    )
    row = reachable_hours(clerks, POLICY).row(0, named=True)
    return row["opens"], row["closes"]


def window(start: str, end: str, **known: Any) -> tuple[datetime, datetime]:
    row = dict.fromkeys(HOURS) | {"shift_start": start, "shift_end": end} | known
    facts = pl.DataFrame([{"clerk_id": "k", **row}], schema={"clerk_id": pl.String, **HOURS})
    facts = facts.join(reachable_hours(facts, POLICY), on="clerk_id")
    first, last = contact_windows(facts, as_of=DAY, policy=POLICY)
    return first[0], last[0]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("16:00", "02:00", (16, 21)),
        ("14:00", "24:00", (14, 21)),
        ("14:00", "00:00", (14, 21)),
        ("00:00", "24:00", (9, 21)),
        ("20:30", "20:30", (20.5, 21)),
        ("10:00", "19:00", (10, 19)),
        ("7:30", "9:45", (9, 9.75)),
        (None, None, (10, 20)),
    ],
)
def test_a_shift_counts_on_the_plans_day(start: Any, end: Any, expected: Any) -> None:
    assert reach(start, end) == expected


@pytest.mark.parametrize(
    ("start", "end"), [("22:00", "06:00"), ("21:00", "24:00"), ("05:00", "9:00")]
)
def test_a_shift_in_quiet_hours_reaches_nobody(start: str, end: str) -> None:
    opens, closes = reach(start, end)
    assert closes <= opens


def test_shifts_in_quiet_hours_are_named() -> None:
    clerks = pl.DataFrame(
        {
            "clerk_id": ["k2", "k1", "k3", "k4"],
            "shift_start": ["22:00", "10:00", None, "05:00"],
            "shift_end": ["06:00", "19:00", None, "08:30"],
            "has_left": [False, False, False, True],
        }
    )
    assert quiet_shifts(clerks, POLICY).rows() == [("k2", "22:00", "06:00")]


def test_a_window_is_that_of_the_stores_clocks() -> None:
    sydney, perth = ZoneInfo("Australia/Sydney"), ZoneInfo("Australia/Perth")
    ahead = minutes_ahead("Australia/Perth", sydney, DAY + timedelta(hours=12))
    first, last = window("10:00", "12:00", ahead_minutes=ahead)
    there = first.replace(tzinfo=sydney).astimezone(perth)
    assert there.isoformat() == "2027-02-25T10:00:00+08:00"
    assert last - first == timedelta(hours=2)


def test_habits_stand_by_the_stores_clocks() -> None:
    # buys at 15:00 in Perth, which is 18:00 in Sydney
    habit = {"purchase_hour_peak": 15.0, "purchase_days": 1e9}
    first, _ = window("10:00", "20:00", ahead_minutes=-180.0, **habit)
    assert first == DAY + timedelta(hours=14 + 3)
    assert window("10:00", "20:00", **habit)[0] == DAY + timedelta(hours=14)


times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
zones = st.sampled_from(
    ["Australia/Perth", "Asia/Kathmandu", "Pacific/Kiritimati", "America/St_Johns", "UTC"]
)


@settings(deadline=None)
@given(times, times, zones, st.none() | st.floats(0, 23.99), st.floats(0, 100))
def test_no_window_leaves_shift_or_enters_quiet_hours(
    start: str, end: str, zone: str, peak: float | None, times_bought: float
) -> None:
    opens, closes = reach(start, end)
    if closes <= opens:
        return
    here = ZoneInfo("Asia/Shanghai")
    ahead = minutes_ahead(zone, here, DAY + timedelta(hours=12))
    first, last = window(
        start, end, ahead_minutes=ahead, purchase_hour_peak=peak, purchase_days=times_bought
    )
    local = [one.replace(tzinfo=here).astimezone(ZoneInfo(zone)) for one in (first, last)]
    hours = [(one.replace(tzinfo=None) - DAY) / timedelta(hours=1) for one in local]
    assert opens - 0.01 <= hours[0] <= hours[1] <= closes + 0.01
    assert hours[0] >= 9 - 0.01
    assert hours[1] <= 21


@pytest.mark.parametrize(
    ("name", "moment", "minutes"),
    [
        ("Australia/Perth", datetime(2027, 7, 1, 12), -120),  # no summer time in Sydney then
        ("Asia/Kathmandu", datetime(2027, 7, 1, 12), -255),
        ("Pacific/Kiritimati", datetime(2027, 7, 1, 12), 240),
        ("no zone", datetime(2027, 7, 1, 12), 0),
    ],
)
def test_minutes_ahead(name: str, moment: datetime, minutes: float) -> None:
    assert minutes_ahead(name, ZoneInfo("Australia/Sydney"), moment) == minutes


@given(
    curve=st.lists(st.floats(0.01, 0.99), min_size=24, max_size=24),
    opens=st.integers(9 * 4, 15 * 4),
    length=st.integers(1, 6 * 4),
    width=st.sampled_from([0.5, 1.0, 2.0, 3.0]),
    ahead=st.sampled_from([0, 60, -300, 330]),
)
def test_the_window_is_where_most_is_read(
    curve: list[float], opens: int, length: int, width: float, ahead: int
) -> None:
    """Against every window of the shift, one after the other."""
    first, last = opens / 4, opens / 4 + length / 4
    width = min(width, last - first)

    def smooth(hour: int) -> float:
        return curve[hour % 24] / 2 + (curve[(hour - 1) % 24] + curve[(hour + 1) % 24]) / 4

    def mean(start: float) -> float:
        quarters = [start + step / 4 for step in range(round(width * 4))]
        return sum(smooth(int((q - ahead / 60) // 1)) for q in quarters) / len(quarters)

    starts = [first + step / 4 for step in range(length + 1) if first + step / 4 + width <= last]
    found = best_start(
        np.array([curve]), np.array([first]), np.array([last]), np.array([width]),
        np.array([float(ahead)]),
    )[0]  # fmt: skip
    assert found in starts
    assert mean(float(found)) == pytest.approx(max(mean(start) for start in starts))


def test_a_known_curve_goes_before_the_hour_of_answers() -> None:
    read = [0.2] * 24
    read[18] = 0.9
    facts = pl.DataFrame(
        {"opens": [10.0] * 2, "closes": [20.0] * 2, "ahead_minutes": [0.0] * 2,
         "purchase_hour_peak": [11.0] * 2, "purchase_days": [50.0] * 2,
         "response_hour_peak": [11.0] * 2, "responses_90d": [50.0] * 2, "reach": [read, None]},
        schema_overrides={"reach": pl.List(pl.Float64)},
    )  # fmt: skip
    first, last = contact_windows(facts, as_of=DAY, policy=POLICY)
    assert first[0] <= DAY + timedelta(hours=18)
    assert last[0] >= DAY + timedelta(hours=19)
    assert last[1] < DAY + timedelta(hours=14)
