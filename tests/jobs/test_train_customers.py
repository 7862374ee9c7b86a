"""Fits on some of the customers, drawn by a hash of their ids."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time
from pathlib import Path

from tests.jobs.conftest import DAY, wiring

from nba.models.purchases import PURCHASES
from nba.pipeline.inputs import STATE
from nba.pipeline.train import training_set


def test_fits_see_at_most_so_many_customers(made: Path) -> None:
    context = wiring(made).run(datetime.combine(DAY, time()))
    settings = context.settings.model_copy(update={"train_customers": 40})
    few = replace(context, settings=settings)
    seen = {}
    for name, spec in context.ports.specs.items():
        training = training_set(few, spec)
        seen[name] = set(training[STATE]["customer_id"])
        assert set(training[PURCHASES]["customer_id"]) <= seen[name]
    assert {name: len(ids) for name, ids in seen.items()} == {
        "timing": 40,
        "affinity": 40,
        "mode": context.inputs[STATE].height,
    }
    assert seen["timing"] == seen["affinity"]
