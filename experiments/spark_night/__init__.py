"""Is a night on Spark the same, sooner with more cores, and light for the driver?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="spark_night",
    question="Is a night on Spark the same, sooner with more cores, and light for the driver?",
    run="experiments.spark_night.run:spark_night",
    folder=Path(__file__).parent,
)
