"""On shops of odd shapes, are the models that ship ever worse than the simple ones?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="odd_shops",
    question="On shops of odd shapes, are the models that ship ever worse than the simple ones?",
    run="experiments.odd_shops.run:odd_shops",
    write="experiments.odd_shops.run:write",
    folder=Path(__file__).parent,
)
