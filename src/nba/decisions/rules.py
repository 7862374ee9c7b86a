"""All that decides a plan beside its tables: one object, from the files to the replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nba.decisions.action_types import ActionType, Catalogue
from nba.decisions.names import Texts
from nba.decisions.policy import ContactPolicy, Levers
from nba.decisions.settings import FORMER_FACTORS, DecisionSettings, UnitDraw
from nba.schema.languages import LANGUAGES, language_of
from nba.settings import PolicyShares

#: Settings of older versions that nothing reads any more.
_IDLE_SETTINGS: Final = (
    "time_zone",
    "currency",
    "relevance_floor",
    "patience_share",
    "fatigue_cost_share",
)


class DecisionRules(BaseModel):
    """Catalogue, contact policy, levers and settings of one plan, and their versions.

    Parameters
    ----------
    catalogue, policy, levers
        As read by `nba.decisions.load_decision_files`.
    settings : DecisionSettings
    texts : Texts
        Names and variants of talking points.
    policy_version : str
        The digest of the files; stands in every action.
    model_versions : str
        The versions of the models whose scores are decided on; stands in every action.
    variants : mapping of str to DecisionRules
        The rules of the arms that plan by other ones than these, by arm; a running test's.

    Examples
    --------
    `text = rules.model_dump_json()` goes beside the plan; with it and the tables a decision is
    replayed to the same bytes long after files and settings have changed:
    `DecisionRules.model_validate_json(text)` gives back equal rules.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalogue: Catalogue
    policy: ContactPolicy
    levers: Levers
    settings: DecisionSettings
    texts: Texts = Texts()
    policy_version: str = ""
    model_versions: str = ""
    variants: Mapping[str, DecisionRules] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _of_older_versions(cls, given: Any) -> Any:
        """Read rules that were kept when some settings had other names."""
        settings = given.get("settings") if isinstance(given, Mapping) else None
        if not isinstance(settings, Mapping):
            return given
        current = {name: value for name, value in settings.items() if name not in _IDLE_SETTINGS}
        factors = current.get("factors", {})
        current["factors"] = {
            FORMER_FACTORS.get(name, name): value for name, value in factors.items()
        }
        locale = str(current.get("locale", "zh"))
        if not locale.startswith(LANGUAGES):
            current["locale"] = language_of(locale, "zh")
        return {**given, "settings": current}

    def with_policies(
        self, policies: PolicyShares, as_set: PolicyShares | None = None
    ) -> DecisionRules:
        """Return the rules with other shares of the simple lists.

        Parameters
        ----------
        policies : PolicyShares
        as_set : PolicyShares, optional
            The shares from which these moved within the arm period.
        """
        given = {"policies": policies, "policies_set": as_set}
        settings = self.settings.model_copy(update=given)
        return self.model_copy(update={"settings": settings})

    def with_variants(
        self,
        variants: Mapping[str, DecisionRules],
        shares: Mapping[str, float],
        by_units: UnitDraw | None = None,
    ) -> DecisionRules:
        """Return the rules with arms beside the engine that plan by rules of their own.

        Parameters
        ----------
        variants : mapping of str to DecisionRules
            By arm.
        shares : mapping of str to float
            Of the customers, by arm.
        by_units : UnitDraw, optional
            Who draws these arms for all their customers.
        """
        given = {"variants": dict(shares), "by_units": by_units}
        settings = self.settings.model_copy(update=given)
        of_arms = {
            arm: rules.model_copy(update={"settings": settings}) for arm, rules in variants.items()
        }
        return self.model_copy(update={"settings": settings, "variants": of_arms})

    def without_variants(self) -> DecisionRules:
        """Return the rules with nobody planned by others."""
        return self.with_variants({}, {})

    def of_arm(self, arm: str) -> DecisionRules:
        """Return the rules by which an arm plans."""
        return self.variants.get(arm, self)

    @property
    def friends_only(self) -> bool:
        """Whether no action reaches who is no friend."""
        return all(one.needs_friend or one.eligible == "is_friend" for one in self.actions)

    @property
    def actions(self) -> tuple[ActionType, ...]:
        """The action types that are switched on."""
        return self.catalogue.enabled
