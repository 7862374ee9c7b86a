"""Does choosing a mail per customer ever lose against the best mail for all?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="mode_hillstrom",
    question="Does choosing a mail per customer ever lose against the best mail for all?",
    run="experiments.mode_hillstrom.run:mode_hillstrom",
    write="experiments.mode_hillstrom.page:write",
    folder=Path(__file__).parent,
)
