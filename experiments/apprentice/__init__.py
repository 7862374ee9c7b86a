"""Does apprentice mode claim a gain only where there is one, and find one that is there?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="apprentice",
    question="Does apprentice mode claim a gain only where there is one, and find one of 10 %?",
    run="experiments.apprentice.run:apprentice_worlds",
    folder=Path(__file__).parent,
)
