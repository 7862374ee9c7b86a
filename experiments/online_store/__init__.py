"""What do writes to the online store and reads from it cost beside Feast's own and a raw read?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="online_store",
    question="What do writing and reading features online cost beside Feast's own and a raw read?",
    run="experiments.online_store.run:online_store",
    write="experiments.online_store.page:write",
    folder=Path(__file__).parent,
)
