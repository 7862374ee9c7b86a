"""`nba experiment` and `nba bench`: models compared on a retailer's own data, and sizing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from nba.errors import NotFoundError, UsageError
from nba.jobs.experiment_spec import RESULT_FILE, ExperimentSpec

_EXPERIMENTS: Final = (
    ExperimentSpec(
        "timing",
        "When does each customer come back: the model beside every baseline, from a cut-off on.",
        "nba.jobs.own_tables:timing",
        write="nba.evaluation.timing_report:write_run",
    ),
    ExperimentSpec(
        "affinity",
        "What is in the next basket: the model beside every simple rule, from a cut-off on.",
        "nba.jobs.own_tables:affinity",
        write="nba.jobs.own_tables:write_affinity",
    ),
    ExperimentSpec(
        "mode",
        "Which arm of a test suits whom: the model beside the best single arm.",
        "nba.jobs.own_tables:mode",
        write="nba.jobs.own_tables:write_mode",
    ),
)
EXPERIMENTS: Final[Mapping[str, ExperimentSpec]] = {spec.name: spec for spec in _EXPERIMENTS}

BENCHES: Final[Mapping[str, ExperimentSpec]] = {
    "nightly": ExperimentSpec(
        "nightly",
        "What a night takes on this machine for so many customers, step by step.",
        "nba.jobs.nightly_bench:bench_nightly",
    ),
    "serving": ExperimentSpec(
        "serving",
        "What a request costs beside a constant handler on the same server.",
        "nba.serving.bench:bench_serving",
    ),
    "rescoring": ExperimentSpec(
        "rescoring",
        "What a customer's next actions cost, beside a score the plain way.",
        "nba.serving.bench_rescoring:bench_rescoring",
    ),
    "workers": ExperimentSpec(
        "workers",
        "How much more several answering processes do than one.",
        "nba.serving.bench_workers:bench_workers",
    ),
    "freshness": ExperimentSpec(
        "freshness",
        "How long from an accepted sale to the list and the card that know of it.",
        "nba.serving.bench_freshness:bench_freshness",
    ),
}


def named(name: str, specs: Mapping[str, ExperimentSpec]) -> ExperimentSpec:
    """Return a specification by its name.

    Raises
    ------
    UsageError
        When there is none; names those that there are.
    """
    if name not in specs:
        raise UsageError(f"there is no {name!r}", expected=f"one of {', '.join(specs)}", found=name)
    return specs[name]


def list_experiments(specs: Mapping[str, ExperimentSpec], folder: Path) -> list[str]:
    """Return a line per experiment: its name, whether a result is there, and its question."""
    return [
        f"{name:<24} {'result' if any((folder / name).glob('*.json')) else '–':<7} {spec.question}"
        for name, spec in specs.items()
    ]


def report_lines(folder: Path, name: str) -> Sequence[str]:
    """Return the page and the result of an experiment.

    Raises
    ------
    NotFoundError
        When there is neither.
    """
    lines: list[str] = []
    page, result = folder / name / "README.md", folder / name / RESULT_FILE
    if page.is_file():
        lines += page.read_text(encoding="utf-8").splitlines()
    if result.is_file():
        lines += json.dumps(json.loads(result.read_text()), indent=1).splitlines()
    if not lines:
        raise NotFoundError(
            f"there is no report of {name!r}",
            expected=f"{page} or {result}",
            next_step=f"run it: nba experiment run {name}",
        )
    return lines
