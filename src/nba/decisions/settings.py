"""What decides beside the three YAML files: the settings under `decisions` in `nba.yaml`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nba.schema import defaults
from nba.schema.words import SIMPLE_ARMS, Arm, DrawUnit
from nba.settings import ArmShares, PolicyShares, arm_shares

#: Former names of fields of `DecisionSettings` and of its `factors`.
FORMER_NAMES: Final = MappingProxyType(
    {"patience_share": "fatigue_slope", "fatigue_cost_share": "fatigue_slope"}
)
FORMER_FACTORS: Final = MappingProxyType({"patience": "fatigue_cost"})


def _refuse_former(given: Any, names: Mapping[str, str]) -> Any:
    """Say what a field is called now, where its former name is given."""
    for former, name in names.items():
        if isinstance(given, Mapping) and former in given:
            raise ValueError(f"{former!r} is called {name!r} now")
    return given


_Shares = TypeVar("_Shares", ArmShares, PolicyShares)


def _scaled(shares: _Shares, by: float, but: Collection[str] = ()) -> _Shares:
    """Return all shares multiplied by a number; what is no number, or in `but`, stays."""
    changed = {
        name: value * by
        for name, value in shares.model_dump().items()
        if isinstance(value, float) and name not in but
    }
    return shares.model_copy(update=changed)


class Factors(BaseModel):
    """The factors of a value; each can be switched off to see what it earns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uplift: bool = Field(True, description="off: every mode changes the same average amount")
    draws: bool = Field(
        True, description="off: lists follow the expected uplift, not the draw from belief"
    )
    relevance: bool = Field(True, description="off: what is brought does not matter")
    risk: bool = Field(True, description="off: losing a friend costs nothing")
    fatigue_cost: bool = Field(True, description="off: a contact takes nothing from later ones")
    levers: bool = Field(True, description="off: the marketer's weights are ignored")
    worth: bool = Field(True, description="off: the catalogue's own amounts are ignored")

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, given: Any) -> Any:
        return _refuse_former(given, FORMER_FACTORS)


class Rounding(StrEnum):
    """How probabilities become a plan that keeps the clerk's minutes."""

    STRICT = "strict"
    EXPECTED = "expected"


class UnitDraw(BaseModel):
    """How clerks, stores or groups draw the arm of all their customers, while a test runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: DrawUnit = Field(description="clerk, store or group")
    salt: str = Field(description="salt of the hash that draws the units' arms")
    shares: Mapping[str, float] = Field(
        description="share of the units, by arm; the engine's apart"
    )


class DecisionSettings(BaseModel):
    """The settings of a plan.

    Notes
    -----
    `salt` decides the arms: a new salt or period draws every customer anew, which ends
    all running comparisons. `seed` decides the draws of the day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    salt: str = Field(defaults.SALT, description="salt of the hash that draws the arms")
    seed: int = Field(0, ge=0, description="seed of the day's draws")
    arms: ArmShares = Field(default_factory=ArmShares, description="share of each arm")
    policies: PolicyShares = Field(
        default_factory=PolicyShares, description="shares of the simple lists beside the engine"
    )
    policies_set: PolicyShares | None = Field(
        None,
        description="shares of simple lists as they are set, where `policies.auto` moved them; "
        "a night sets it",
    )
    variants: Mapping[str, float] = Field(
        default_factory=dict,
        description="shares of the arms that plan by other rules; a running test sets them",
    )
    by_units: UnitDraw | None = Field(
        None, description="who draws the arms of a test for all their customers; a test sets it"
    )
    arm_period_days: int = Field(
        182, ge=1, description="days for which a customer stays in an arm, counted from 1970-01-01"
    )
    outcome_days: int = Field(
        defaults.OUTCOME_DAYS, ge=1, description="days over which an uplift is counted"
    )
    exploration_floor: float = Field(
        0.01,
        ge=0,
        le=0.2,
        description="least probability of every open action of the shortlist, none included",
    )
    shortlist_size: int = Field(
        40, ge=1, description="customers per clerk with an exploration floor"
    )
    shortlist_random: int = Field(
        4, ge=0, description="of these, drawn at random among all who are not among the best"
    )
    rounding: Rounding = Field(
        Rounding.STRICT,
        description="strict: never above the clerk's minutes; expected: within them on average",
    )
    horizon_days: int = Field(7, ge=1, le=31, description="days that the plan looks ahead")
    fatigue_slope: float = Field(
        0.2,
        ge=0,
        le=2,
        description="by how much the log of the next contact's effect falls right after a contact; "
        "decides what a contact costs in those to come",
    )
    lend_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of a clerk's minutes that may go to or come from colleagues of the "
        "store; 0 gives every clerk exactly their own day",
    )
    locale: str = Field(
        "zh",
        pattern=r"^(zh|en)([-_][A-Za-z0-9_-]*)?$",
        description="language where the customer's locale is unknown: zh or en",
    )
    factors: Factors = Field(default_factory=lambda: Factors(), description="factors switched on")

    @property
    def shares(self) -> dict[str, float]:
        """The share of every arm, those with rules of their own included."""
        shares = {str(arm): part for arm, part in arm_shares(self.arms, self.policies).items()}
        engine = shares.pop(Arm.ENGINE)
        part = 1.0 if self.by_units is None else engine  # units draw within what customers leave
        own = {arm: share * part for arm, share in self.variants.items()}
        return {**shares, **own, Arm.ENGINE: max(engine - sum(own.values()), 0.0)}

    @property
    def shares_of_customers(self) -> dict[str, float]:
        """The share of every arm that customers draw by themselves; units draw within the rest."""
        if self.by_units is None:
            return self.shares
        return {str(arm): part for arm, part in arm_shares(self.arms, PolicyShares()).items()}

    @property
    def shares_of_draw(self) -> tuple[dict[str, float], dict[str, float] | None]:
        """The shares of customers that the arm period began with, and today's where they moved."""
        today = self.shares_of_customers
        if self.policies_set is None:
            return today, None
        as_set = self.model_copy(update={"policies": self.policies_set, "policies_set": None})
        return as_set.shares_of_customers, today

    def within(self, variant: str = "") -> tuple[DecisionSettings, float]:
        """Return the settings by which one set of rules plans, and its share of the minutes.

        Parameters
        ----------
        variant : str
            An arm of `variants`; empty: all other arms.

        Returns
        -------
        settings : DecisionSettings
            With shares of the customers whom these rules plan.
        share : float
            Of each clerk's minutes.
        """
        if not self.variants:
            return self, 1.0
        if self.by_units is not None:
            return self._within_units(variant), 1.0
        working = max(1.0 - self.arms.holdout, 1e-9)
        if variant:
            alone = {"arms": ArmShares(holdout=0.0), "policies": PolicyShares(), "variants": {}}
            return self.model_copy(update=alone), self.variants[variant] / working
        of_variants = sum(self.variants.values())
        rest = max(1.0 - of_variants, 1e-9)
        given = {
            "arms": _scaled(self.arms, 1.0 / rest),
            "policies": _scaled(self.policies, 1.0 / rest, but=("floor",)),
            "variants": {},
        }
        return self.model_copy(update=given), 1.0 - of_variants / working

    def _within_units(self, variant: str) -> DecisionSettings:
        """Return the settings of the units that drew an arm: a simple list plans as itself."""
        assert self.by_units is not None
        alone = self.by_units.unit is DrawUnit.GROUP and variant
        arms = ArmShares(holdout=0.0) if alone else self.arms
        rest = arm_shares(arms, PolicyShares())[Arm.ENGINE]
        lists = {variant: rest} if variant in {str(arm) for arm in SIMPLE_ARMS} else {}
        given = {"arms": arms, "policies": PolicyShares(**lists), "variants": {}, "by_units": None}
        return self.model_copy(update=given)

    @model_validator(mode="after")
    def _leave_room_for_the_engine(self) -> Self:
        whole = 1.0 if self.by_units else arm_shares(self.arms, self.policies)[Arm.ENGINE]
        left = whole - sum(self.variants.values())
        if left < -1e-9:
            raise ValueError(f"the arms' shares add up to {1.0 - left:g}, more than 1")
        taken = {str(arm) for arm in Arm}
        if self.by_units is not None:  # whole clerks, stores or groups may follow a simple list
            taken -= {str(arm) for arm in SIMPLE_ARMS}
        reserved = sorted(set(self.variants) & taken)
        if reserved:
            raise ValueError(f"an arm of its own rules cannot be called {', '.join(reserved)}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, given: Any) -> Any:
        return _refuse_former(given, FORMER_NAMES)
