"""Which choice of a night's list loses most against the truth: products, modes or customers?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="world_choices",
    question="Which choice of a night's list loses most against the truth: products, modes or "
    "customers?",
    run="experiments.world_choices.run:world_choices",
    folder=Path(__file__).parent,
)
