"""Do the estimators find another policy's click rate from a log?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="ope_open_bandit",
    question="Do the estimators find another policy's click rate from a log?",
    run="experiments.ope_open_bandit.run:ope_open_bandit",
    write="experiments.ope_open_bandit.page:write",
    folder=Path(__file__).parent,
)
