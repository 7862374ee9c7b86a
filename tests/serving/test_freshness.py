"""Whoever was heard of is refreshed: once, in order, and by one process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nba.errors import UnavailableError
from nba.serving.freshness import MOST, Refresher
from nba.stores.outbox import Heard

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


class Rows:
    """An outbox in memory."""

    def __init__(self, *, shows_in_order: bool = True) -> None:
        self.shows_in_order = shows_in_order
        self.asked: list[int] = []
        self.rows: list[Heard] = []

    def add(self, *customer_ids: str, at: datetime = NOW - timedelta(minutes=1)) -> None:
        first = self.newest_id() + 1
        self.rows += [Heard(first + i, one, at) for i, one in enumerate(customer_ids)]

    def newest_id(self) -> int:
        return max((row.outbox_id for row in self.rows), default=0)

    def heard_after(self, floor: int) -> Sequence[Heard]:
        self.asked.append(floor)
        return [row for row in self.rows if row.outbox_id > floor]


class Features:
    """Notes whom it was asked to refresh."""

    def __init__(self) -> None:
        self.night: object = 1
        self.today: list[str] = []
        self.done: list[list[str]] = []
        self.fails = False
        self.prepared: datetime | None = None

    def heard_today(self) -> Sequence[str]:
        return self.today

    def base(self) -> object:
        return self.night

    def prepare(self, now: datetime) -> None:
        self.prepared = now

    def refresh(self, customer_ids: Sequence[str], now: datetime) -> None:
        if self.fails:
            raise UnavailableError("the disk is full")
        self.done.append(list(customer_ids))

    def moment(self, customer_id: str) -> int:
        return len(self.done)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Rows, Features, Clock, Refresher]:
    rows, features, clock = Rows(), Features(), Clock()
    return rows, features, clock, Refresher(rows, features, clock, tmp_path / "lock")


def test_each_is_refreshed_once_for_what_was_accepted(
    parts: tuple[Rows, Features, Clock, Refresher],
) -> None:
    rows, features, _, refresher = parts
    rows.add("a")
    features.today = ["a"]
    assert refresher.once()
    assert features.prepared is None
    assert not refresher.once()
    assert features.prepared == NOW  # while nobody waits
    rows.add("b", "c", "b")
    assert refresher.once()
    assert not refresher.once()
    assert features.done == [["a"], ["b", "c"]]
    many = [f"c{number}" for number in range(MOST + 1)]
    rows.add(*many)
    assert refresher.once()
    assert refresher.once()
    assert not refresher.once()
    assert features.done[2:] == [many[:MOST], many[MOST:]]


@pytest.mark.parametrize("shows_in_order", [True, False])
def test_a_row_that_shows_late_is_heard_where_rows_may(
    tmp_path: Path, shows_in_order: bool
) -> None:
    rows, features = Rows(shows_in_order=shows_in_order), Features()
    refresher = Refresher(rows, features, Clock(), tmp_path / "lock")
    rows.add("a")
    refresher.once()
    rows.add("b", "c")
    late = rows.rows.pop(1)
    refresher.once()
    rows.rows.insert(1, late)
    rows.add("d")
    refresher.once()
    heard = [one for part in features.done for one in part]
    assert heard == (["c", "d"] if shows_in_order else ["c", "b", "d"])
    assert rows.asked[-1] == (3 if shows_in_order else 0)  # no row is read twice without need


def test_a_new_night_refreshes_everybody_of_the_day_again(
    parts: tuple[Rows, Features, Clock, Refresher],
) -> None:
    _, features, _, refresher = parts
    features.night = None
    features.today = ["a"]
    assert not refresher.once()  # nothing was ever published
    assert features.prepared is None
    features.night = 2
    assert refresher.once()
    assert not refresher.once()
    features.night = 3
    assert refresher.once()
    assert features.done == [["a"], ["a"]]


def test_a_row_of_a_moment_to_come_counts_from_then_on(
    parts: tuple[Rows, Features, Clock, Refresher],
) -> None:
    rows, features, clock, refresher = parts
    refresher.once()
    rows.add("a", at=NOW + timedelta(seconds=30))
    assert refresher.once()
    assert not refresher.once()
    clock.now = NOW + timedelta(minutes=1)
    assert refresher.once()
    assert not refresher.once()
    assert features.done == [["a"], ["a"]]


def test_whoever_could_not_be_refreshed_waits(
    parts: tuple[Rows, Features, Clock, Refresher],
) -> None:
    rows, features, _, refresher = parts
    refresher.once()
    rows.add("a")
    features.fails = True
    with pytest.raises(UnavailableError):
        refresher.once()
    features.fails = False
    assert refresher.once()
    assert features.done == [["a"]]


def test_one_of_several_processes_does_it(
    parts: tuple[Rows, Features, Clock, Refresher], tmp_path: Path
) -> None:
    rows, features, clock, first = parts
    features.today = ["a"]
    second = Refresher(rows, features, clock, tmp_path / "lock")
    first.start()
    while not features.done:
        pass
    second.start()
    second.close()
    first.close()
    assert features.done == [["a"]]


def test_who_stands_by_makes_ready_and_leaves_the_work_to_another(
    parts: tuple[Rows, Features, Clock, Refresher], tmp_path: Path
) -> None:
    rows, features, clock, refresher = parts
    rows.add("a")
    features.today = ["a"]
    spare = Features()
    standing_by = Refresher(rows, spare, clock, tmp_path / "lock", leave_seconds=60.0)
    standing_by.start()
    refresher.start()
    until = time.monotonic() + 20
    while not (features.done and spare.prepared) and time.monotonic() < until:
        time.sleep(0.01)
    refresher.close()
    standing_by.close()
    assert features.done == [["a"]]
    assert spare.done == []
    assert spare.prepared == NOW
