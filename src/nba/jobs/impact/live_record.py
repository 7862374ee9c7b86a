"""The record of live tests: which ran when, and whose shares hold on a day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from nba.pipeline.arms import ArmChange
from nba.schema.words import SIMPLE_ARMS
from nba.settings import PolicyShares, Project
from nba.wiring import Wiring

FOLDER: Final = "experiments"
#: What the files of `serving/` are called to people.
CALLED: Final[Mapping[str, str]] = MappingProxyType(
    {"actions": "catalogue", "contact_policy": "contact policy"}
)


class ArmRecord(BaseModel):
    """What an arm of a test has in place of the project's own.

    Parameters
    ----------
    share : float
        Of the customers.
    files : dict of str to str
        YAML in place of a file of `serving/`, as it was when the test began.
    models : dict of str to str
        Versions in place of the champions, by model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float
    files: dict[str, str] = Field(default_factory=dict)
    models: dict[str, str] = Field(default_factory=dict)

    @property
    def changes(self) -> list[str]:
        """What the arm changes, for people; nothing for a simple list."""
        models = [f"{model} {number}" for model, number in self.models.items()]
        return [*(CALLED.get(name, name) for name in self.files), *models]


class LiveTest(BaseModel):
    """A test of simple lists, or of arms with rules of their own, against the engine.

    Parameters
    ----------
    name : str
    arms : dict of str to float
        Share of the customers of each arm.
    own : dict of str to ArmRecord
        Of the arms with rules or models of their own, what they change.
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
    own: dict[str, ArmRecord] = Field(default_factory=dict)
    weeks: int = Field(ge=1)
    started: date
    reason: str
    detectable: float | None = None
    stopped: date | None = None
    why: str = ""

    def line(self, currency: str) -> str:
        """Return the test in a line for people."""
        arms = ", ".join(f"{arm} {share:.0%}{self._own(arm)}" for arm, share in self.arms.items())
        finds = "" if self.detectable is None else f"; finds {self.detectable:,.2f} {currency}"
        state = "running" if self.stopped is None else f"ended {self.stopped}: {self.why}"
        return f"{self.name:<24} {arms} from {self.started}, {self.weeks} weeks{finds}; {state}"

    def _own(self, arm: str) -> str:
        """Return what an arm changes, in brackets; nothing for a simple list."""
        return f" (own {', '.join(self.own[arm].changes)})" if arm in self.own else ""

    @property
    def lists(self) -> dict[str, float]:
        """The shares of the simple lists."""
        return {arm: share for arm, share in self.arms.items() if arm not in self.own}


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


def running_on(project: Project, day: date) -> LiveTest | None:
    """Return the test under which a day is planned, if one runs."""
    test = running_test(project)
    return test if test is not None and test.started <= day else None


def policies_of_day(wiring: Wiring, day: date) -> PolicyShares:
    """Return the shares of the simple lists on a day: those of the test that runs, else set."""
    policies, test = wiring.settings.policies, running_on(wiring.project, day)
    return policies if test is None else policies_of(wiring, test)


def policies_of(wiring: Wiring, test: LiveTest) -> PolicyShares:
    """Return the shares of the simple lists while a test runs."""
    none: dict[str, float] = {str(arm): 0.0 for arm in SIMPLE_ARMS}
    return wiring.settings.policies.model_copy(update={**none, "auto": False, **test.lists})


def arms_of_day(wiring: Wiring, day: date) -> dict[str, ArmChange]:
    """Return the arms that plan by rules or models of their own on a day."""
    test = running_on(wiring.project, day)
    own = {} if test is None else test.own
    return {name: ArmChange(arm.share, arm.files, arm.models) for name, arm in own.items()}


def own_changes(project: Project) -> dict[str, list[str]]:
    """Return what each arm with rules of its own changes, of all tests, the latest first."""
    found: dict[str, list[str]] = {}
    for test in live_tests(project):
        for arm, record in test.own.items():
            found.setdefault(arm, record.changes)
    return found


def shares_of(wiring: Wiring, test: LiveTest | None) -> dict[str, float]:
    """Return the share that each arm should have while a test runs, or without one."""
    policies = wiring.settings.policies if test is None else policies_of(wiring, test)
    own = {} if test is None else {name: arm.share for name, arm in test.own.items()}
    given = {"policies": policies, "variants": own}
    shares = wiring.decision_settings.model_copy(update=given).shares
    return {str(arm): share for arm, share in shares.items()}


def planned_shares(wiring: Wiring, first: date, last: date) -> dict[str, float]:
    """Return the share that each arm should have; nothing where a test changed them within."""
    days = [day for test in live_tests(wiring.project) for day in (test.started, test.stopped)]
    if any(day is not None and first < day <= last for day in days):
        return {}
    return shares_of(wiring, running_on(wiring.project, last))
