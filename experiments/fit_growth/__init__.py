"""How do seconds and memory of a fit grow with the shop?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="fit_growth",
    question="How do seconds and memory of a fit grow with the shop?",
    run="experiments.fit_growth.run:fit_growth",
    write="experiments.fit_growth.run:write",
    folder=Path(__file__).parent,
)
