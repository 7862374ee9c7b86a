"""The pages of the mode experiments: Markdown from their results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from nba.evaluation.mode_summary import ModeExperiment

#: The picture beside the page of `mode_world`.
CURVE: Final = "curve.png"


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
    frame = pl.DataFrame(result["rows"], infer_schema_length=None)
    final = frame.filter(pl.col("weeks") == frame["weeks"].max())
    metrics = ("rank_correlation", "share_of_oracle", "share_of_best_mode", "share_of_random_mode")
    lines = [
        "# The world: what is learned about modes, against the truth",
        "",
        f"**Question.** {result['question']}",
        "",
        f"**Protocol.** {result['protocol']}. Seeds {result['seeds']}.",
        "",
        "**Command.** `python -m nba.jobs.mode_experiments mode_world`",
        "",
        "At the end, mean over seeds (worst seed). The bound should lie below the truth for 90 %, "
        "of customers one by one and of twenty groups of customers alike in their prediction.",
        "",
        "| preset | model | rank correlation | share of the oracle | best mode, if one must be "
        "chosen | at random | bias | bound holds, customers | groups |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (preset, model), rows in final.group_by("preset", "model", maintain_order=True):
        cells = [
            f"{np.mean(rows[metric].to_numpy()):.3f} ({np.min(rows[metric].to_numpy()):.3f})"
            for metric in metrics
        ]
        bias = f"{np.mean(rows['bias_amount'].to_numpy()):+.1f}"
        true = f"{np.mean(rows['true_amount'].to_numpy()):.1f}"
        held = [_mean(rows[f"coverage_{of}"]) for of in ("of_lower_bound", "in_groups")]
        lines.append(
            f"| {preset} | {model} | {' | '.join(cells)} | {bias} of {true} | {' | '.join(held)} |"
        )
    lines += [
        "",
        f"Over the weeks of contacts that are known (0: the prior alone), see `{CURVE}`:",
        "",
        "| preset | weeks | share of the oracle, by seed | rank correlation | bias |",
        "|---|---|---|---|---|",
    ]
    curve = frame.filter(pl.col("model") == "learned")
    for (preset, weeks), rows in curve.group_by("preset", "weeks", maintain_order=True):
        shares = rows["share_of_oracle"].to_list()
        each = ", ".join(f"{share:.2f}" for share in shares)
        rank, bias = (_mean(rows[m], 3) for m in ("rank_correlation", "bias_amount"))
        lines.append(f"| {preset} | {weeks} | {np.mean(shares):.3f} ({each}) | {rank} | {bias} |")
    return "\n".join(lines) + "\n"


def _mean(values: pl.Series, digits: int = 2) -> str:
    known = values.drop_nulls()
    return f"{float(np.mean(known.to_numpy())):.{digits}f}" if len(known) else "–"


def draw_curve(result: Mapping[str, Any], path: Path) -> None:
    """Draw the share of the oracle's value over the weeks that are known, by preset."""
    from matplotlib.figure import Figure

    frame = pl.DataFrame(result["rows"], infer_schema_length=None)
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    learned = frame.filter(pl.col("model") == "learned")
    for place, preset in zip(axes, ("published", "conservative"), strict=True):
        mine = learned.filter(pl.col("preset") == preset)
        for (seed,), rows in mine.group_by("seed", maintain_order=True):
            place.plot(rows["weeks"], rows["share_of_oracle"], marker="o", label=f"seed {seed}")
        random = frame.filter(pl.col("preset") == preset)["share_of_random_mode"].mean()
        place.axhline(random, color="grey", linestyle=":", label="a mode at random")
        place.set(title=preset, xlabel="weeks of contacts known", ylim=(0, 1))
    axes[0].set_ylabel("share of the oracle's value")
    axes[1].legend(frameon=False)
    figure.savefig(path, dpi=110)
