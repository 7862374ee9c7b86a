"""Does choosing an arm per row ever lose on made-up tests, or win where it can?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="mode_tables",
    question="Does choosing an arm per row ever lose on made-up tests, or win where it can?",
    run="experiments.mode_tables.run:mode_tables",
    folder=Path(__file__).parent,
)
