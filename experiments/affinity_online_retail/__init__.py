"""Which products does a gift shop's customer buy next, and which that are new to them?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="affinity_online_retail",
    question="Which products does a gift shop's customer buy next, and which that are new to them?",
    run="experiments.affinity_online_retail.run:affinity_online_retail",
    write="experiments.common.affinity:write",
    folder=Path(__file__).parent,
)
