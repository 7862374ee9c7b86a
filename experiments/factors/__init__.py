"""Which factor of the engine's decisions earns its place, and in how many worlds?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="factors",
    question="Which factor of the engine's decisions earns its place, and in how many worlds?",
    run="experiments.factors.run:play_factors",
    write="experiments.factors.report:write",
    folder=Path(__file__).parent,
)
