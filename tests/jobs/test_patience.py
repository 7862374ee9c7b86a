"""A store that is away for a moment is waited for, and one that stays away is told."""

from __future__ import annotations

import pytest

from nba.errors import NbaError, UnavailableError
from nba.jobs import patience
from nba.jobs.patience import ATTEMPTS, patiently


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that were made, none of which takes time."""
    made: list[float] = []
    monkeypatch.setattr(patience, "pause", made.append)
    return made


def away(times: int, error: type[NbaError] = UnavailableError) -> list[NbaError]:
    return [error("the store does not answer") for _ in range(times)]


def test_work_goes_on_when_the_store_is_back(pauses: list[float]) -> None:
    errors, said = away(2), list[str]()

    def work() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert patiently(work, said.append) == "done"
    assert pauses == [2.0, 4.0]
    assert said == [f"the store does not answer: tried again in {n} s" for n in (2, 4)]


def test_a_store_that_stays_away_is_told(pauses: list[float]) -> None:
    def work() -> None:
        raise away(1)[0]

    with pytest.raises(UnavailableError, match="does not answer"):
        patiently(work, print)
    assert len(pauses) == ATTEMPTS - 1


def test_what_waiting_does_not_help_is_told_at_once(pauses: list[float]) -> None:
    def work() -> None:
        raise away(1, NbaError)[0]

    with pytest.raises(NbaError):
        patiently(work, print)
    assert not pauses
