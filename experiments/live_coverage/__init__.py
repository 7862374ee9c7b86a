"""Do the intervals of running tests hold what they say, also when looked at every day?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="live_coverage",
    question="Do the intervals of running tests hold what they say, also when looked at daily?",
    run="experiments.live_coverage.run:coverage",
    folder=Path(__file__).parent,
)
