"""Next actions are worked out once for as long as nothing that they rest on changed."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from nba.serving import live
from nba.serving.live import LiveRescoring

PLAN = {"as_of": date(2026, 3, 2), "digest": "d1"}


class Rescorer:
    """Counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.book: list[str] = []

    def customer(self, customer_id: str, fresh: Any) -> pl.DataFrame:
        self.asked.append(customer_id)
        return pl.DataFrame({"customer_id": [customer_id], "fresh": [bool(fresh)]})

    def as_the_night(self, customer_ids: list[str]) -> dict[str, pl.DataFrame]:
        return {one: self.customer(one, {}) for one in customer_ids}

    def beside(self, customer_id: str, most: int) -> list[str]:
        return [customer_id, *self.book][:most]


@pytest.fixture
def made() -> list[Rescorer]:
    return []


@pytest.fixture
def world(made: list[Rescorer]) -> SimpleNamespace:
    known = SimpleNamespace(plan=PLAN, moment=5, moments={}, fresh={})

    def make(day: date) -> Any:
        made.append(Rescorer())
        return made[-1]

    nowhere: Any = None
    known.live = LiveRescoring(
        lambda: known.plan,
        make,
        nowhere,
        lambda customer_id: known.fresh,
        lambda customer_id: known.moments.get(customer_id, known.moment),
        lambda: 5,
    )
    known.live.wait()
    return known


def test_a_customer_of_whom_nothing_was_heard_is_rescored_once(
    world: SimpleNamespace, made: list[Rescorer]
) -> None:
    first = world.live.actions("c1")
    assert world.live.actions("c1") == first
    assert not world.live.knows_today("c1")
    assert made[0].asked == ["c1"]


def test_others_of_the_book_are_worked_out_along_but_not_who_was_heard_of(
    world: SimpleNamespace, made: list[Rescorer]
) -> None:
    made[0].book, world.moments = ["c2", "c3"], {"c3": 6}
    assert world.live.actions("c1") == [{"customer_id": "c1", "fresh": False}]
    assert world.live.actions("c2") == [{"customer_id": "c2", "fresh": False}]
    assert made[0].asked == ["c1", "c2"]


def test_new_features_and_a_new_plan_count_at_once(
    world: SimpleNamespace, made: list[Rescorer]
) -> None:
    world.live.actions("c1")
    world.moment, world.fresh = 6, {"purchases": pl.DataFrame()}
    assert world.live.knows_today("c1")
    assert world.live.actions("c1") == [{"customer_id": "c1", "fresh": True}]
    assert made[0].asked == ["c1", "c1"]
    world.plan = PLAN | {"digest": "d2"}
    world.live.wait()
    world.live.actions("c1")
    assert made[1].asked == ["c1"]


def test_what_rests_on_the_days_features_is_worked_out_again_after_minutes(
    world: SimpleNamespace, made: list[Rescorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.moment, world.fresh = 6, {"purchases": pl.DataFrame()}
    world.live.actions("c1")
    monkeypatch.setattr(live.time, "monotonic", lambda: 1e12)
    world.live.actions("c1")
    assert made[0].asked == ["c1", "c1"]


def test_so_many_customers_are_kept(
    world: SimpleNamespace, made: list[Rescorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_ASKED", 2)
    for one in ("c1", "c2", "c1", "c3", "c1", "c2"):
        world.live.actions(one)
    assert made[0].asked == ["c1", "c2", "c3", "c2"]
