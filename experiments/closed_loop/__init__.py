"""Of the margin that contacts could add, how much does the engine's list earn?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="closed_loop",
    question="Of the margin that contacts could add, how much does the engine's list earn?",
    run="experiments.closed_loop.run:bench_closed_loop",
    write="experiments.closed_loop.report:write",
    folder=Path(__file__).parent,
)
