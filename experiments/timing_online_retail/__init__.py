"""How well are the return of a gift shop's customers, and its season, predicted?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="timing_online_retail",
    question="How well are the return of a gift shop's customers, and its season, predicted?",
    run="experiments.timing_online_retail.run:timing_online_retail",
    write="nba.evaluation.timing_report:write_run",
    folder=Path(__file__).parent,
)
