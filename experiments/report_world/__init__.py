"""Does the causal total of `nba report` agree with the truth of the world?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="report_world",
    question="Does the causal total of `nba report` agree with the truth of the world?",
    run="experiments.report_world.run:report_worlds",
    folder=Path(__file__).parent,
)
