"""Does the engine keep its promises when it is driven by the command line alone?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="daily_loop",
    question="Does the engine keep its promises when it is driven by the command line alone?",
    run="experiments.daily_loop.run:daily_loop",
    folder=Path(__file__).parent,
)
