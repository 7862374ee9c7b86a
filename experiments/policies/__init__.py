"""How much do lists that need no engine earn, between no contact and the oracle?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="policies",
    question="How much do lists that need no engine earn, between no contact and the oracle?",
    run="experiments.policies.run:bench_policies",
    folder=Path(__file__).parent,
)
