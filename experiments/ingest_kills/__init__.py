"""Does a killed load leave the lake as it was, and repeating it give the same lake?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="ingest_kills",
    question="Does a killed load leave the lake as it was, and repeating it give the same lake?",
    run="experiments.ingest_kills.run:ingest_kills",
    folder=Path(__file__).parent,
)
