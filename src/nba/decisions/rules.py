"""All that decides a plan beside its tables: one object, from the files to the replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, model_validator

from nba.decisions.action_types import ActionType, Catalogue
from nba.decisions.names import Texts
from nba.decisions.policy import ContactPolicy, Levers
from nba.decisions.settings import FORMER_FACTORS, DecisionSettings
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
        return {**given, "settings": current}

    def with_policies(self, policies: PolicyShares) -> DecisionRules:
        """Return the rules with other shares of the simple lists."""
        settings = self.settings.model_copy(update={"policies": policies})
        return self.model_copy(update={"settings": settings})

    @property
    def actions(self) -> tuple[ActionType, ...]:
        """The action types that are switched on."""
        return self.catalogue.enabled
