"""Is a list of a real shop one that a clerk would follow?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="retail_list",
    question="Are the first products of a real shop's list of goods that are due for the customer?",
    run="experiments.retail_list.run:retail_list",
    write="experiments.retail_list.page:write",
    folder=Path(__file__).parent,
)
