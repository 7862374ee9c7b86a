"""What does a marketer see: MLflow in a browser, and the report, as pictures for the docs?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="marketer_pages",
    question="What does a marketer see: MLflow in a browser, and the report, as pictures?",
    run="experiments.marketer_pages.run:take_pictures",
    folder=Path(__file__).parent,
)
