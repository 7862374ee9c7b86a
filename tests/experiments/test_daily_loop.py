"""The engine keeps its promises when a scheduler drives it from outside."""

from __future__ import annotations

import pytest

from experiments.daily_loop.run import daily_loop

#: A day that trains may take longer: the models' spec says when that is.
LIMIT_SECONDS = 60.0


@pytest.mark.proof
def test_fourteen_days_by_the_command_line() -> None:
    days = daily_loop()["days"]
    assert len(days) == 14
    assert [day["broken"] for day in days] == [[]] * 14
    assert all(day["seconds"] < LIMIT_SECONDS for day in days if not day["trained"])
