"""The record of live tests: which ran when, and whose shares hold on a day."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from nba.schema.words import SIMPLE_ARMS
from nba.settings import PolicyShares, Project, arm_shares
from nba.wiring import Wiring

FOLDER: Final = "experiments"


class LiveTest(BaseModel):
    """A test of simple lists against the engine.

    Parameters
    ----------
    name : str
    arms : dict of str to float
        Share of the customers of each list.
    weeks : int
        How long it is meant to run.
    started : date
        The first day that is planned under it.
    reason : str
    detectable : float or None
        The difference in margin per customer that it finds four times out of five.
    stopped : date or None
        The first day that is no more planned under it.
    why : str
        Why it was stopped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")
    arms: dict[str, float]
    weeks: int = Field(ge=1)
    started: date
    reason: str
    detectable: float | None = None
    stopped: date | None = None
    why: str = ""

    def line(self, currency: str) -> str:
        """Return the test in a line for people."""
        arms = ", ".join(f"{arm} {share:.0%}" for arm, share in self.arms.items())
        finds = "" if self.detectable is None else f"; finds {self.detectable:,.2f} {currency}"
        state = "running" if self.stopped is None else f"ended {self.stopped}: {self.why}"
        return f"{self.name:<24} {arms} from {self.started}, {self.weeks} weeks{finds}; {state}"


def record_file(project: Project, name: str) -> Path:
    """Return where the record of a test lies."""
    return project.data / FOLDER / f"{name}.json"


def live_tests(project: Project) -> list[LiveTest]:
    """Return every test that was started, the latest first."""
    paths = (project.data / FOLDER).glob("*.json")
    tests = [LiveTest.model_validate_json(path.read_text(encoding="utf-8")) for path in paths]
    return sorted(tests, key=lambda test: (test.started, test.name), reverse=True)


def running_test(project: Project) -> LiveTest | None:
    """Return the test that runs, if one does."""
    return next((test for test in live_tests(project) if test.stopped is None), None)


def policies_of_day(wiring: Wiring, day: date) -> PolicyShares:
    """Return the shares of the simple lists on a day: those of the test that runs, else set."""
    policies, test = wiring.settings.policies, running_test(wiring.project)
    if test is None or day < test.started:
        return policies
    none: dict[str, float] = {str(arm): 0.0 for arm in SIMPLE_ARMS}
    return policies.model_copy(update={**none, "auto": False, **test.arms})


def planned_shares(wiring: Wiring, first: date, last: date) -> dict[str, float]:
    """Return the share that each arm should have; nothing where a test changed them within."""
    days = [day for test in live_tests(wiring.project) for day in (test.started, test.stopped)]
    if any(day is not None and first < day <= last for day in days):
        return {}
    shares = arm_shares(wiring.settings.arms, policies_of_day(wiring, last))
    return {str(arm): share for arm, share in shares.items()}
