"""The record of live tests: which ran when, and whose shares hold on a day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from nba.decisions.settings import UnitDraw
from nba.pipeline.arms import ArmChange
from nba.schema.words import SIMPLE_ARMS, Arm, DrawUnit
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
    unit : DrawUnit
        Who draws an arm: each customer, or a clerk, store or group for all their customers; then
        a share is of these.
    salt : str
        Of the hash by which clerks, stores or groups draw.
    units : dict of str to int
        How many of them drew each arm when it began.
    icc : float or None
        Which part of the differences between customers was one between units, a quarter before.
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
    unit: DrawUnit = DrawUnit.CUSTOMER
    salt: str = ""
    units: dict[str, int] = Field(default_factory=dict)
    icc: float | None = None
    weeks: int = Field(ge=1)
    started: date
    reason: str
    detectable: float | None = None
    stopped: date | None = None
    why: str = ""

    def line(self, currency: str) -> str:
        """Return the test in a line for people."""
        arms = ", ".join(f"{arm} {share:.0%}{self._own(arm)}" for arm, share in self.arms.items())
        arms += self._units()
        finds = "" if self.detectable is None else f"; finds {self.detectable:,.2f} {currency}"
        state = "running" if self.stopped is None else f"ended {self.stopped}: {self.why}"
        return f"{self.name:<24} {arms} from {self.started}, {self.weeks} weeks{finds}; {state}"

    def _own(self, arm: str) -> str:
        """Return what an arm changes, in brackets; nothing for a simple list."""
        return f" (own {', '.join(self.own[arm].changes)})" if arm in self.own else ""

    def _units(self) -> str:
        """Return who draws, and how many drew each arm; nothing where each customer does."""
        if self.unit is DrawUnit.CUSTOMER:
            return ""
        counts = ", ".join(f"{arm} {count}" for arm, count in self.units.items())
        alike = "" if self.icc is None else f", intra-cluster correlation {self.icc:.3f}"
        return f" of the {self.unit}s ({counts}{alike})"

    @property
    def by_units(self) -> UnitDraw | None:
        """How clerks, stores or groups draw; None where each customer does."""
        if self.unit is DrawUnit.CUSTOMER:
            return None
        return UnitDraw(unit=self.unit, salt=self.salt, shares=self.arms)

    @property
    def lists(self) -> dict[str, float]:
        """The shares of the simple lists that customers draw."""
        by_customers = self.unit is DrawUnit.CUSTOMER
        return {a: share for a, share in self.arms.items() if by_customers and a not in self.own}

    @property
    def apart(self) -> dict[str, ArmChange]:
        """The arms that are planned apart: with rules of their own, or of whole units."""
        names = self.arms if self.by_units else self.own
        none = ArmRecord(share=0.0)
        records = {name: self.own.get(name, none) for name in names}
        return {
            name: ArmChange(self.arms[name], record.files, record.models)
            for name, record in records.items()
        }


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
    """Return the arms that are planned apart on a day."""
    test = running_on(wiring.project, day)
    return {} if test is None else test.apart


def units_of_day(wiring: Wiring, day: date) -> UnitDraw | None:
    """Return how clerks, stores or groups draw their arms on a day; None where customers do."""
    test = running_on(wiring.project, day)
    return None if test is None else test.by_units


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
    own = {} if test is None else {name: arm.share for name, arm in test.apart.items()}
    by_units = None if test is None else test.by_units
    given = {"policies": policies, "variants": own, "by_units": by_units}
    shares = wiring.decision_settings.model_copy(update=given).shares
    return {str(arm): share for arm, share in shares.items()}


def planned_shares(wiring: Wiring, first: date, last: date) -> dict[str, float]:
    """Return the share that each arm should have; nothing where a test changed them within.

    Where `policies.auto` moves shares, those that it does not move.
    """
    days = [day for test in live_tests(wiring.project) for day in (test.started, test.stopped)]
    if any(day is not None and first < day <= last for day in days):
        return {}
    shares = shares_of(wiring, test_covering(wiring.project, first, last))
    moving = {Arm.ENGINE, *SIMPLE_ARMS} if moves_shares(wiring, first, last) else set[Arm]()
    return {arm: share for arm, share in shares.items() if arm not in moving}


def moves_shares(wiring: Wiring, first: date, last: date) -> bool:
    """Return whether `policies.auto` moves the shares of lists on these days."""
    policies = wiring.settings.policies
    if not (policies.auto and policies.running):
        return False
    return test_covering(wiring.project, first, last) is None


def planned_units(wiring: Wiring, first: date, last: date) -> UnitDraw | None:
    """Return how clerks, stores or groups drew the arms of the test in whose days these lie."""
    test = test_covering(wiring.project, first, last)
    return None if test is None else test.by_units


def test_covering(project: Project, first: date, last: date) -> LiveTest | None:
    """Return the test in whose days these lie, ended or not."""
    return next(
        (
            test
            for test in live_tests(project)
            if test.started <= first and (test.stopped is None or last < test.stopped)
        ),
        None,
    )
