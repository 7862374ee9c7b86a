"""How near does the timing model come to the true hazard, and to regular rhythms?"""

from __future__ import annotations

from pathlib import Path

from nba.jobs.experiment_spec import ExperimentSpec

SPEC = ExperimentSpec(
    name="timing_world",
    question="How near does the timing model come to the true hazard, and to regular rhythms?",
    run="experiments.timing_world.run:timing_world",
    write="nba.evaluation.timing_report:write_run",
    folder=Path(__file__).parent,
)
