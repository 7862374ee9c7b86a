"""The mode experiments: Hillstrom, Open Bandit, a world with known truth, any test's table.

Run from the repository::

    python -m nba.jobs.mode_experiments mode_hillstrom
    python -m nba.jobs.mode_experiments ope_open_bandit
    python -m nba.jobs.mode_experiments mode_world
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from nba.errors import UsageError
from nba.evaluation.mode_experiment import run_mode_experiment
from nba.evaluation.mode_hillstrom import mode_hillstrom
from nba.evaluation.mode_summary import ModeExperiment
from nba.evaluation.ope_open_bandit import ope_open_bandit
from nba.jobs.mode_world import mode_world

Say = Callable[[str], None]


def _data() -> Path:
    default = Path(__file__).resolve().parents[4] / "shared" / "data"
    return Path(os.environ.get("NBA_DATA", default))


def _hillstrom(say: Say) -> dict[str, Any]:
    return mode_hillstrom(_data(), progress=say)


def _open_bandit(say: Say) -> dict[str, Any]:
    return ope_open_bandit(_data())


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


def table_page(name: str, found: ModeExperiment) -> str:
    """Return the page of an experiment on one table."""
    result = found.result
    uplift = result["uplift"]
    lines = [
        f"# Which arm for whom: {name}",
        "",
        f"{result['rows']} rows, arms {', '.join(result['arms'])}; {result['folds']}-fold "
        f"cross-fitting, {result['repeats']} repeat(s), seed {result['seed']}; propensities: "
        f"{result['propensity_model']}. The best single arm is chosen on the training folds.",
        "",
        found.markdown(),
        "",
        f"AUUC {uplift['auuc']:.4g} ± {uplift['auuc_error']:.2g}, Qini {uplift['qini']:.4g} ± "
        f"{uplift['qini_error']:.2g} ({uplift['normalisation']}).",
        "",
        "| arm | against | calibration slope | t |",
        "|---|---|---|---|",
        *(
            f"| {row['arm']} | {row['against']} | {row['slope']:.2f} | {row['t']:.1f} |"
            for row in result["calibration"]
        ),
        "",
    ]
    refused = [one for one in result["overlap"] if one["refused"]]
    lines += [f"- arm {one['arm']} is not learned: {one['refused']}" for one in refused]
    lines += [f"- {note}" for note in result["notes"]]
    return "\n".join(lines) + "\n"


def hillstrom_page(result: Mapping[str, Any]) -> str:
    """Return the page of `mode_hillstrom`."""
    bars = "\n".join(
        f"| {b['bar']} | {b['asked']} | {b['found']:.5g} | {'yes' if b['met'] else '**no**'} |"
        for b in result["bars"]
    )
    uplift = result["outcomes"]["visit"]["uplift"]
    return f"""# Hillstrom: a mail for each customer, or one for all

**Question.** {result["question"]}

**Protocol.** {result["protocol"]}. Seed {result["seed"]}. The recipe was fixed on planted worlds
and run here once. 64,000 customers, three random arms, outcome over two weeks.

**Command.** `python -m nba.jobs.mode_experiments mode_hillstrom`

| bar | asked | found | met |
|---|---|---|---|
{bars}

AUUC {uplift["auuc"]:.5f} ± {uplift["auuc_error"]:.5f}, Qini {uplift["qini"]:.5f} ±
{uplift["qini_error"]:.5f} ({uplift["normalisation"]}).

## Visits

{result["tables"]["visit"]}

The learners beside ours ran in the first repeat, ours and the best single arm in all.

## Visits minus .06 per mail

{result["tables"]["visit_minus_cost"]}
"""


def bandit_page(result: Mapping[str, Any]) -> str:
    """Return the page of `ope_open_bandit`."""
    rows = "\n".join(
        f"| {r['campaign']} | {r['logged_by']} | {r['policy']} | {r['method']} | {r['value']:.5f} "
        f"[{r['lower']:.5f}, {r['upper']:.5f}] | {r['on_policy']:.5f} [{r['on_policy_lower']:.5f}, "
        f"{r['on_policy_upper']:.5f}] | {r['z_to_on_policy']:+.2f} | {r['effective_rows']:.0f} | "
        f"{r['mean_weight']:.3f} | {r['clipped_share']:.2%} |"
        for r in result["estimates"]
    )
    return f"""# Open Bandit: the value of the other policy

**Question.** {result["question"]}

**Protocol.** {result["protocol"]}. Seed {result["seed"]}.

**Command.** `python -m nba.jobs.mode_experiments ope_open_bandit`

| campaign | log of | policy | method | estimate, 95 % | its own log | z | ESS | mean weight | cut |
|---|---|---|---|---|---|---|---|---|---|
{rows}

Few clicks (about fifty per log): the intervals are wide, and no policy can be ranked here.
"""


def world_page(result: Mapping[str, Any]) -> str:
    """Return the page of `mode_world`."""
    frame = pl.DataFrame(result["rows"])
    last = frame["weeks"].max()
    metrics = ("rank_correlation", "share_of_oracle", "share_of_best_mode", "share_of_random_mode")
    final = frame.filter(pl.col("weeks") == last)
    lines = [
        "# The world: what is learned about modes, against the truth",
        "",
        f"**Question.** {result['question']}",
        "",
        f"**Protocol.** {result['protocol']}. Seeds {result['seeds']}.",
        "",
        "**Command.** `python -m nba.jobs.mode_experiments mode_world`",
        "",
        "At the end of the pilot, mean over seeds (worst seed):",
        "",
        "| preset | model | rank correlation | share of the oracle | best mode, if one must be "
        "chosen | at random | bias | lower bound covers |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (preset, model), rows in final.group_by("preset", "model", maintain_order=True):
        cells = [
            f"{np.mean(rows[metric].to_numpy()):.3f} ({np.min(rows[metric].to_numpy()):.3f})"
            for metric in metrics
        ]
        covered = rows["coverage_of_lower_bound"].drop_nulls()
        cover = f"{float(np.mean(covered.to_numpy())):.2f}" if len(covered) else "–"
        bias = f"{np.mean(rows['bias_amount'].to_numpy()):+.1f}"
        true = f"{np.mean(rows['true_amount'].to_numpy()):.1f}"
        lines.append(f"| {preset} | {model} | {' | '.join(cells)} | {bias} of {true} | {cover} |")
    lines += [
        "",
        "Over the weeks of the pilot, learned model:",
        "",
        "| preset | weeks | share of the oracle | rank correlation | bias |",
        "|---|---|---|---|---|",
    ]
    curve = frame.filter(pl.col("model") == "learned")
    for (preset, weeks), rows in curve.group_by("preset", "weeks", maintain_order=True):
        values = [float(np.mean(rows[m].to_numpy())) for m in
                  ("share_of_oracle", "rank_correlation", "bias_amount")]  # fmt: skip
        lines.append(
            f"| {preset} | {weeks} | {values[0]:.3f} | {values[1]:.3f} | {values[2]:+.1f} |"
        )
    return "\n".join(lines) + "\n"


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
