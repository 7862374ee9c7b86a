"""Given a grocery customer's baskets in order, which products are in the next one?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="affinity_tafeng",
    question="Given a grocery customer's baskets in order, which products are in the next one?",
    run="experiments.affinity_tafeng.run:affinity_tafeng",
    write="experiments.common.affinity:write",
    folder=Path(__file__).parent,
)
