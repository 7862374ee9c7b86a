"""How fast is the mode model fitted, and how fast does it score?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="mode_bench",
    question="How fast is the mode model fitted, and how fast does it score?",
    run="experiments.mode_bench.run:bench_mode",
    options={"assignments": 20_000},
    folder=Path(__file__).parent,
)
