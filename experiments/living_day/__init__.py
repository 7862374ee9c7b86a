"""What does it earn that a list lives through its day, and does it keep its promises then?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="living_day",
    question="What does replacing what left a list earn, and are policy and propensities kept?",
    run="experiments.living_day.run:living_day",
    write="experiments.living_day.page:write",
    folder=Path(__file__).parent,
)
