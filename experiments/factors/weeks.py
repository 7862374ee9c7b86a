"""The engine without a factor for weeks: what it earns where each day follows on others."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from experiments.factors.nights import EFFECT_FACTORS, FLOORS, OTHER_FACTORS, without
from experiments.worlds.engine import EnginePolicy
from nba.decisions.settings import Factors
from nba.errors import UsageError
from nba.models.contact_value.model import ContactValueMode
from nba.pipeline.context import RunContext

#: What can matter where a shop has no levers, no amounts of its own and one season.
FOR_WEEKS: Final = (
    *(name for name in Factors.model_fields if name not in ("levers", "worth")),
    FLOORS,
    *EFFECT_FACTORS,
    *OTHER_FACTORS,
)


class EngineWithout(EnginePolicy):
    """The engine as it ships but for one factor.

    A factor of the decision is off in `nba.yaml`, floors in `serving/contact_policy.yaml`; one of a
    contact's effect is fitted like the others and then at no effect each night.

    Parameters
    ----------
    folder : Path
        Where the project is made.
    off : str
        Of `decisions.factors`, `floors`, or of a contact's effect (`experiments.factors.nights`).

    Raises
    ------
    UsageError
        If there is no such factor.
    """

    def __init__(self, folder: Path, off: str) -> None:
        known = (*Factors.model_fields, FLOORS, *EFFECT_FACTORS, *OTHER_FACTORS)
        if off not in known:
            raise UsageError("no such factor", expected=", ".join(known), found=off)
        self.off = off if off in (*EFFECT_FACTORS, *OTHER_FACTORS) else ""
        of_decision = {"decisions": {"factors": {off: False}}}
        super().__init__(
            folder,
            settings=of_decision if off in Factors.model_fields else {},
            change=_without_floors if off == FLOORS else None,
        )

    def before(self, step: str, context: RunContext) -> None:
        """Let the needs be valued by a model without the factor."""
        if step != "score" or not self.off:
            return
        valuer = context.models["mode"]
        if isinstance(valuer, ContactValueMode):
            vars(context)["models"] = {**context.models, "mode": without(valuer, self.off)}


def _without_floors(folder: Path) -> None:
    file = folder / "serving" / "contact_policy.yaml"
    policy = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump({**policy, "floors": []}, allow_unicode=True), encoding="utf-8")
