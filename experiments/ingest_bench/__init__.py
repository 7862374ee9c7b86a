"""What does a load with all its checks cost against DuckDB copying the same file?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="ingest_bench",
    question="What does a load with all its checks cost against DuckDB copying the same file?",
    run="experiments.ingest_bench.run:bench_ingest",
    folder=Path(__file__).parent,
)
