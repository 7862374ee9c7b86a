"""The mode experiments: Hillstrom, Open Bandit, a world with known truth, any test's table.

Run from the repository::

    python -m nba.jobs.mode_experiments mode_hillstrom
    python -m nba.jobs.mode_experiments ope_open_bandit
    python -m nba.jobs.mode_experiments mode_world
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from nba.errors import UsageError
from nba.evaluation.mode_experiment import run_mode_experiment
from nba.evaluation.mode_hillstrom import mode_hillstrom
from nba.evaluation.mode_summary import ModeExperiment
from nba.evaluation.ope_open_bandit import ope_open_bandit
from nba.jobs.mode_pages import (
    CURVE,
    bandit_page,
    draw_curve,
    hillstrom_page,
    table_page,
    world_page,
)
from nba.jobs.mode_world import mode_world
from nba.jobs.public_data import public_data

Say = Callable[[str], None]


def _hillstrom(say: Say) -> dict[str, Any]:
    return mode_hillstrom(public_data(), progress=say)


def _open_bandit(say: Say) -> dict[str, Any]:
    return ope_open_bandit(public_data())


def _world(say: Say) -> dict[str, Any]:
    return mode_world(progress=say)


RUNNERS: Final[Mapping[str, Callable[[Say], dict[str, Any]]]] = {
    "mode_hillstrom": _hillstrom,
    "ope_open_bandit": _open_bandit,
    "mode_world": _world,
}


def run_table(
    file: Path,
    folder: Path | None,
    *,
    arm: str,
    control: str,
    outcome: str,
    cost: Sequence[str] = (),
    group: str | None = None,
    propensity: str | None = None,
    exclude: Sequence[str] = (),
    repeats: int = 1,
    seed: int = 0,
    say: Say | None = None,
) -> ModeExperiment:
    """Run the comparison on any table of a test; write result and assignments into `folder`.

    Parameters
    ----------
    cost : sequence of `ARM=COST`
    folder : Path or None
        Receives `result.json`, `README.md` and `assignments.parquet`.
    """
    found = run_mode_experiment(
        file,
        arm,
        control,
        outcome,
        cost=dict(_cost(pair) for pair in cost),
        group=group,
        propensity=propensity,
        exclude=exclude,
        repeats=repeats,
        seed=seed,
        progress=say,
    )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / "result.json", found.result)
        found.assignments.write_parquet(folder / "assignments.parquet")
        (folder / "README.md").write_text(table_page(file.name, found))
    return found


def _cost(pair: str) -> tuple[str, float]:
    name, _, amount = pair.rpartition("=")
    try:
        return name, float(amount)
    except ValueError:
        raise UsageError("a cost is not a number", expected="--cost ARM=COST", found=pair) from None


PAGES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "mode_hillstrom": hillstrom_page,
    "ope_open_bandit": bandit_page,
    "mode_world": world_page,
}


def write_report(name: str, result: Mapping[str, Any], folder: Path) -> None:
    """Write `result.json` and `README.md` of an experiment into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "result.json", result)
    (folder / "README.md").write_text(PAGES[name](result))
    if name == "mode_world":
        draw_curve(result, folder / CURVE)


def _write_json(path: Path, result: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def main(names: list[str]) -> None:
    """Run the experiments named on the command line into `experiments/NAME`."""
    for name in names:
        if name not in RUNNERS:
            raise UsageError(f"no experiment {name!r}", expected=", ".join(RUNNERS), found=name)
        began = time.perf_counter()
        result = RUNNERS[name](lambda line: print(line, flush=True))
        write_report(name, {**result, "seconds": time.perf_counter() - began},
                     Path("experiments") / name)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
