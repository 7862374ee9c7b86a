"""Does the timing model beat the buy-till-you-die models on the data made for these?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="timing_cdnow",
    question="Does the timing model beat the buy-till-you-die models on the data made for these?",
    run="experiments.timing_cdnow.run:timing_cdnow",
    write="nba.evaluation.timing_report:write_run",
    folder=Path(__file__).parent,
)
