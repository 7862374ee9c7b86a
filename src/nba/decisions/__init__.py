"""Decisions: whom a clerk contacts, with what, when, in which mode, and why."""

from nba.decisions.action_types import ActionType, Catalogue
from nba.decisions.decide import decide
from nba.decisions.loading import DecisionFiles, load_decision_files
from nba.decisions.plan import Plan
from nba.decisions.policy import ContactPolicy, Levers
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import DecisionSettings, Factors, Rounding

__all__ = [
    "ActionType",
    "Catalogue",
    "ContactPolicy",
    "DecisionFiles",
    "DecisionRules",
    "DecisionSettings",
    "Factors",
    "Levers",
    "Plan",
    "Rounding",
    "decide",
    "load_decision_files",
]
