"""What many worlds gave, as a page: per world the best simple list, the engine, the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from scipy import stats

from experiments.worlds.lists import SIMPLE
from experiments.worlds.run import WorldsResult
from nba.jobs.experiment_spec import write_json

TABLE: Final = "table.md"
ENGINE: Final = "engine"
_WORLD: Final = ("preset", "family")
#: What a policy earned over no contact on the same random numbers, and what its contacts were truly
#: worth at the moment they were listed, which has none of the chance.
REALISED: Final = "incremental_amount"
EXPECTED: Final = "true_amount"

_TITLES: Final = {
    REALISED: "Incremental margin over no contact, as realised",
    EXPECTED: "True worth of all contacts, as expected at the moment each was listed",
}


def best_simple(rows: pl.DataFrame, measure: str = REALISED) -> str | None:
    """Return the simple list that earned most in the mean over a world's seeds, in hindsight."""
    lists = rows.filter(pl.col("policy").is_in(SIMPLE))
    if lists.is_empty():
        return None
    means = lists.group_by("policy").agg(pl.col(measure).mean())
    return str(means.sort(measure, "policy", descending=[True, False])["policy"][0])


def paired(
    rows: pl.DataFrame, one: str, other: str, measure: str = REALISED
) -> tuple[float, float, float]:
    """Return mean and 95 % interval of the difference of two policies over seeds.

    Each seed is a pair on the same random numbers; Student's t over seeds. With one seed the
    interval is not a number.
    """
    wide = rows.filter(pl.col("policy").is_in([one, other])).pivot(
        on="policy", index="seed", values=measure
    )
    both = wide.drop_nulls()
    differences = (both[one] - both[other]).to_numpy()
    mean = float(differences.mean())
    if len(differences) < 2:
        return mean, float("nan"), float("nan")
    error = differences.std(ddof=1) / len(differences) ** 0.5
    half = float(stats.t.ppf(0.975, len(differences) - 1) * error)
    return mean, mean - half, mean + half


def write(result: WorldsResult, folder: Path) -> str:
    """Write `result.json` and `table.md` into `folder` and return the table."""
    write_json(result, folder)
    parts = [_earned(result, REALISED), _earned(result, EXPECTED), _accuracy(result)]
    text = "\n\n".join("\n".join(part) for part in (*parts, _contacts(result))) + "\n"
    (folder / TABLE).write_text(text, encoding="utf-8")
    return text


def _worlds(result: WorldsResult) -> Iterator[tuple[str, str, pl.DataFrame]]:
    frame = pl.DataFrame(
        [{key: row[key] for key in (*_WORLD, "seed", "policy", REALISED, EXPECTED)}
         for row in result.rows]
    )  # fmt: skip
    for (preset, family), rows in frame.group_by(*_WORLD, maintain_order=True):
        yield str(preset), str(family), rows


def _earned(result: WorldsResult, measure: str) -> list[str]:
    policies = list(dict.fromkeys(row["policy"] for row in result.rows))
    shown = [name for name in policies if name != "no_contact"]
    lines = [
        f"{_TITLES[measure]}, mean over seeds; in brackets the share of the oracle's. "
        "The engine against the best simple list of the world, chosen in hindsight, "
        "paired over seeds, with the 95 % interval.",
        "",
        "| preset | family | seeds | " + " | ".join(shown) + " | engine − best list |",
        "|---|---|---|" + "---|" * (len(shown) + 1),
    ]
    for preset, family, rows in _worlds(result):
        means = dict(rows.group_by("policy").agg(pl.col(measure).mean()).iter_rows())
        oracle = means.get("oracle")
        cells = [_amount(means.get(name), oracle) for name in shown]
        seeds = rows["seed"].n_unique()
        lines.append(
            f"| {preset} | {family} | {seeds} | "
            + " | ".join(cells)
            + f" | {_lead(rows, measure)} |"
        )
    return lines


def _amount(value: float | None, oracle: float | None) -> str:
    if value is None:
        return ""
    share = f" ({value / oracle:.2f})" if oracle and oracle > 0 else ""
    return f"{value:,.0f}{share}"


def _lead(rows: pl.DataFrame, measure: str) -> str:
    best = best_simple(rows, measure)
    if best is None or ENGINE not in rows["policy"].to_list():
        return ""
    mean, low, high = paired(rows, ENGINE, best, measure)
    interval = "" if np.isnan(low) else f" ({low:+,.0f} to {high:+,.0f})"
    return f"{mean:+,.0f}{interval}, {best}"


def _accuracy(result: WorldsResult) -> list[str]:
    """Return how the engine's `uplift` agrees with the truth of the very contacts listed."""
    lines = [
        "What the engine told of the very contacts that it listed: rank correlation of `uplift` "
        "with the true gain, slope over deciles, and the means.",
        "",
        "| preset | family | seed | contacts | rank correlation | within 14 days | slope | "
        "told | true | night, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result.rows:
        accuracy = row["accuracy"]
        if not accuracy:
            continue
        cells = [
            row["preset"], row["family"], str(row["seed"]), f"{accuracy['contacts']:,}",
            _number(accuracy["rank_correlation"]), _number(accuracy["rank_correlation_window"]),
            _number(accuracy["slope"]), f"{accuracy['predicted_mean']:.2f}",
            f"{accuracy['true_mean']:.2f}", f"{row['night_seconds']:.1f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _contacts(result: WorldsResult) -> list[str]:
    lines = [
        "Contacts by week, and friends lost in all; mean over seeds.",
        "",
        "| preset | family | policy | contacts by week | lost friends |",
        "|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, str], list[dict[str, list[float]]]] = {}
    for row in result.rows:
        if row["policy"] != "no_contact":
            groups.setdefault((row["preset"], row["family"], row["policy"]), []).append(row)
    for key, rows in groups.items():
        weekly = np.mean([row["contacts"] for row in rows], axis=0)
        lost = np.mean([sum(row["blocks"]) for row in rows])
        text = " ".join(f"{count:,.0f}" for count in weekly)
        lines.append("| " + " | ".join([*key, text, f"{lost:.1f}"]) + " |")
    return lines
