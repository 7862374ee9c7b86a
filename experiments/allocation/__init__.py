"""Is the day's linear programme exact and fast, and what does exploration cost?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="allocation",
    question="Is the day's linear programme exact and fast, and what does exploration cost?",
    run="experiments.allocation.run:bench_allocation",
    write="experiments.allocation.run:write",
    folder=Path(__file__).parent,
)
