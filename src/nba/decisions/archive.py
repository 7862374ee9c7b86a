"""All that decided a plan beside its tables, as one JSON text to keep with it.

With this text and the tables kept, a decision can be replayed to the same bytes long after
the YAML files and the settings have changed.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from nba.decisions.catalogue import Catalogue
from nba.decisions.policy import ContactPolicy, Levers
from nba.decisions.settings import DecisionSettings


class DecisionRules(BaseModel):
    """Catalogue, contact policy, levers and settings of one plan, and their versions.

    Examples
    --------
    `text = DecisionRules(...).model_dump_json()` goes beside the plan;
    `DecisionRules.model_validate_json(text)` gives back equal rules.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    catalogue: Catalogue
    policy: ContactPolicy
    levers: Levers
    settings: DecisionSettings
    policy_version: str
    model_versions: str
