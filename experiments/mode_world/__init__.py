"""What does the mode model know about each customer, against the truth?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="mode_world",
    question="What does the mode model know about each customer, against the truth?",
    run="experiments.mode_world.run:mode_world",
    write="experiments.mode_world.page:write",
    folder=Path(__file__).parent,
)
