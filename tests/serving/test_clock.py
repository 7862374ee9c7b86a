"""The clock of a demonstration."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from nba.serving.clock import plan_clock
from nba.stores.operational import OperationalStore

REAL = datetime(2030, 7, 1, 20, 30, tzinfo=UTC)  # half past four in the morning in Shanghai
SHANGHAI = ZoneInfo("Asia/Shanghai")


def test_the_clock_stands_on_the_plans_day_at_the_present_time_of_day(
    published: OperationalStore,
) -> None:
    now = plan_clock(published, SHANGHAI, real=lambda: REAL)()
    assert now == datetime(2026, 3, 2, 4, 30, tzinfo=SHANGHAI)


def test_before_the_first_plan_it_is_the_real_clock(store: OperationalStore) -> None:
    assert plan_clock(store, SHANGHAI, real=lambda: REAL)() == REAL
