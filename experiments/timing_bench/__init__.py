"""How fast is the timing model fitted, and how fast does it score?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="timing_bench",
    question="How fast is the timing model fitted, and how fast does it score?",
    run="experiments.timing_bench.run:bench_timing",
    folder=Path(__file__).parent,
)
