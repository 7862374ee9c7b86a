"""Does the affinity model find planted taste, and new things better than its parts?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="affinity_world",
    question="Does the affinity model find planted taste, and new things better than its parts?",
    run="experiments.affinity_world.run:affinity_world",
    write="experiments.common.affinity:write",
    folder=Path(__file__).parent,
)
