"""Is what the online store serves at a moment what a training join gives for it?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="features_online",
    question="Is what the online store serves at a moment what a training join gives for it?",
    run="experiments.features_online.run:bench_online",
    folder=Path(__file__).parent,
)
