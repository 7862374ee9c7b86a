"""What do the lists of a night gain by the models that ship over the thin ones?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="shipped_night",
    question="What do the lists of a night gain by the models that ship over the thin ones?",
    run="experiments.shipped_night.run:shipped_night",
    write="experiments.shipped_night.run:write",
    folder=Path(__file__).parent,
)
