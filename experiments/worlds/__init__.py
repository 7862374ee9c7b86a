"""In worlds of different shape, does the engine earn more than the best simple list?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="worlds",
    question="In worlds of different shape, does the engine earn more than the best simple list?",
    run="experiments.worlds.run:play_worlds",
    write="experiments.worlds.report:write",
    folder=Path(__file__).parent,
)
