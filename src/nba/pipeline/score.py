"""Score every customer with the models that the run noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from nba.models.base import CONTRIBUTION_SCHEMA, Model, ModelInputs, TimingModel
from nba.models.needs.base import NEED_SCORE_SCHEMA, ModeModel
from nba.pipeline.context import RunContext
from nba.pipeline.inputs import of_service
from nba.pipeline.ports import RunFolder

GROUP = "scores"


@dataclass(frozen=True)
class Scores:
    """The score tables of one `as_of`, as described in `docs/architecture.md`."""

    timing: pl.DataFrame
    timing_category: pl.DataFrame
    affinity: pl.DataFrame
    needs: pl.DataFrame
    mode: pl.DataFrame
    contributions: pl.DataFrame

    def items(self) -> Mapping[str, pl.DataFrame]:
        """Return the tables by name."""
        return dict(vars(self))


def score(context: RunContext) -> dict[str, Any]:
    """Score every customer and keep the score tables; return their rows."""
    scores = score_all(context.models, model_inputs(context), as_of=context.as_of)
    for name, table in scores.items().items():
        context.folder.write(f"{GROUP}/{name}", table)
    report: dict[str, Any] = {name: table.height for name, table in scores.items().items()}
    valuer = context.models["mode"]
    finding = valuer.finding() if isinstance(valuer, ModeModel) else ""
    return {**report, "finding": finding} if finding else report


def scores_stand(context: RunContext) -> bool:
    """Return whether every score table is kept; an older run has no contributions or needs."""
    names = Scores.__annotations__.keys() - {"contributions", "needs"}
    return all(context.folder.has(f"{GROUP}/{name}") for name in names)


def model_inputs(context: RunContext) -> dict[str, ModelInputs]:
    """Return what each model reads at the run's `as_of`, as its feature service says."""
    store = context.ports.feature_store
    return {
        name: of_service(context.inputs, store, spec.feature_service)
        for name, spec in context.ports.specs.items()
    }


def score_all(
    models: Mapping[str, Model], inputs: Mapping[str, ModelInputs], *, as_of: datetime
) -> Scores:
    """Score every customer with the three models.

    Parameters
    ----------
    models, inputs
        By name: `timing`, `affinity`, `mode`. What the timing model says reaches the others.
    as_of : datetime
    """
    clock = models["timing"]
    if not isinstance(clock, TimingModel):
        raise TypeError(f"the timing model is a {type(clock).__name__}")
    timing = clock.score(inputs["timing"], as_of=as_of)
    with_timing = ModelInputs({**inputs["timing"], "timing": timing})
    categories = clock.score_categories(with_timing, as_of=as_of)
    known = {"timing": timing, "timing_category": categories}
    valuer = models["mode"]
    if not isinstance(valuer, ModeModel):
        raise TypeError(f"the mode model is a {type(valuer).__name__}")
    products = models["affinity"].score(ModelInputs({**inputs["affinity"], **known}), as_of=as_of)
    mode = ModelInputs({**inputs["mode"], **known})
    # what is bought, and what could be brought, stands in the views that affinity reads
    goods = ModelInputs({**inputs["affinity"], **mode, "affinity": products})
    needs = valuer.score_needs(goods, as_of=as_of)
    return Scores(
        timing=timing,
        timing_category=categories,
        affinity=products,
        needs=needs,
        mode=valuer.score_modes(needs, goods, as_of=as_of),
        contributions=valuer.contributions(mode, as_of=as_of),
    )


def read_scores(folder: RunFolder, among: pl.DataFrame | None = None) -> Scores:
    """Return the scores that the score step kept; an older run has no contributions or needs.

    `among` (customer_id) confines them to some customers.
    """
    kept = {
        "contributions": pl.DataFrame(schema=CONTRIBUTION_SCHEMA),
        "needs": pl.DataFrame(schema=NEED_SCORE_SCHEMA),
    }
    for name in Scores.__annotations__:
        if name not in kept or folder.has(f"{GROUP}/{name}"):
            kept[name] = folder.read(f"{GROUP}/{name}", among)
    return Scores(**kept)
