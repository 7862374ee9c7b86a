"""What the doctor says of features that the service reads."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from nba.errors import UnavailableError
from nba.jobs.doctor import _counts, _features, _try, doctor_lines
from nba.settings import RateLimits

DAY = date(2026, 3, 2)


@dataclass
class Store:
    """A feature store in a given state."""

    lost: list[str] = field(default_factory=list)
    damaged: str = ""
    online: bool = True
    spoiled: bool = False
    has_base: bool = True

    def lost_views(self, as_of: datetime) -> list[str]:
        return self.lost

    def served(self, view: str, as_of: datetime) -> None:
        if view == self.damaged:
            raise UnavailableError("features of the plan's day cannot be read", expected=view)

    def is_online(self, as_of: datetime) -> bool:
        if self.spoiled:
            raise sqlite3.DatabaseError("file is not a database")
        return self.online

    def base(self) -> object | None:
        return object() if self.has_base else None


def said(store: Store, plan: dict[str, Any] | None) -> str:
    plans = SimpleNamespace(current_plan=lambda: plan)
    wiring: Any = SimpleNamespace(plan_store=plans, feature_store=store)
    return str(_try(lambda: _features(wiring)))


@pytest.mark.parametrize(
    ("store", "words"),
    [
        (Store(lost=["clerk"]), ["clerk gone", "--from features"]),
        (Store(damaged="product"), ["cannot be read", "product"]),
        (Store(online=False), ["not all is online", "--from publish"]),
        (Store(spoiled=True), ["online store cannot be read"]),
        (Store(has_base=False), ["stand still", "--from publish"]),
        (Store(lost=["store"], spoiled=True), ["store gone", "online store cannot be read"]),
    ],
)
def test_a_spoiled_part_is_a_problem_with_what_to_do(store: Store, words: list[str]) -> None:
    found = said(store, {"as_of": DAY})
    assert found.startswith("PROBLEM")
    assert all(word in found for word in words)


def test_what_is_whole_is_none() -> None:
    assert said(Store(), {"as_of": DAY}) == "2026-03-02, online"
    assert said(Store(), None) == "none"


def test_who_counts_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    def counts(limits: RateLimits) -> str:
        wiring: Any = SimpleNamespace(settings=SimpleNamespace(rate_limits=limits))
        return _counts(wiring)

    assert counts(RateLimits()) == "none"
    assert counts(RateLimits(per_key="9/second")) == "each process counts by itself"
    monkeypatch.setenv("NBA_RATE_LIMITS_URL", "redis://127.0.0.1:1/0")
    assert counts(RateLimits(per_key="9/second")).startswith("PROBLEM")


def test_lines_stand_in_columns_and_say_where_nothing_is_set() -> None:
    lines = doctor_lines({"settings.country": "", "outbox": "0 rows", "settings.arms": {"a": 0.1}})
    assert lines == [
        "settings.country –",
        "outbox           0 rows",
        'settings.arms    {"a": 0.1}',
    ]
