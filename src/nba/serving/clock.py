"""The clock of a demonstration: past data is shown as on its own day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from nba.stores.operational import OperationalStore, utc_now


def plan_clock(
    store: OperationalStore, zone: ZoneInfo, real: Callable[[], datetime] = utc_now
) -> Callable[[], datetime]:
    """Return a clock that stands on the newest plan's day, at the present time of day.

    Without it a plan of last year would be shown as expired, and what is reported about it
    would lie in the future of the next night's run.
    """

    def now() -> datetime:
        present = real()
        mark = store.mark()
        if mark is None:
            return present
        local = present.astimezone(zone)
        return datetime.combine(mark[0], local.timetz(), zone).astimezone(UTC)

    return now
