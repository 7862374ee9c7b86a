"""How fast does the two-stage affinity model fit, and rank a million customers?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="affinity_bench",
    question="How fast does the two-stage affinity model fit, and rank a million customers?",
    run="experiments.affinity_bench.run:bench_affinity",
    folder=Path(__file__).parent,
)
