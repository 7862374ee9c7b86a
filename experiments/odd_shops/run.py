"""Fit the models as they ship and their simple rules on odd shops, and measure what came."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from experiments.common.lists import list_metrics
from experiments.common.shipped import shipped_affinity, shipped_timing
from experiments.common.timing import calibrated, counted
from experiments.odd_shops.shops import AHEAD_DAYS, AS_OF, SHOPS, make_shop
from nba.evaluation.survival import Outcome, concordance, mean_days_without
from nba.jobs.experiment_spec import write_json
from nba.models.affinity.decayed_counts import DecayedCountsAffinity, DecayedCountsConfig
from nba.models.affinity.two_stage import TwoStageAffinity
from nba.models.base import ModelInputs, TimingModel
from nba.models.purchases import (
    CUSTOMER,
    day_number,
    follow_up,
    purchases_between,
    purchases_of,
    read_log,
)
from nba.models.timing.btyd import fit_btyd, summarise
from nba.models.timing.hazard import Hazard
from nba.models.timing.recency_gap import RecencyGap

HORIZONS: Final = (7, 30, 90)
_END: Final = AS_OF + timedelta(days=AHEAD_DAYS)
_HALF_LIFE_DAYS: Final = 180.0
_LIST: Final = 40


def odd_shops(
    *,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    shops: Sequence[str] = tuple(SHOPS),
    parts: Sequence[str] = ("timing", "affinity"),
    log: str = "",
) -> dict[str, Any]:
    """Return a row per shop, seed, part and model.

    Parameters
    ----------
    seeds : sequence of int
    shops : sequence of str
        Names in `SHOPS`.
    parts : sequence of str
        `timing`, `affinity` or both.
    log : str
        A file that keeps each row as it comes; what it holds is not played again.
    """
    kept = Path(log) if log else None
    rows = _read(kept)
    done = {(row["shop"], row["seed"], row["part"]) for row in rows}
    for name in shops:
        for seed in seeds:
            purchases, products = make_shop(SHOPS[name], seed)
            for part, play in (("timing", _timing), ("affinity", _affinity)):
                if part not in parts or (name, seed, part) in done:
                    continue
                found = play(purchases, products, seed)
                rows += [{"shop": name, "seed": seed, "part": part, **row} for row in found]
                if kept:
                    kept.write_text("\n".join(json.dumps(row) for row in rows))
    return {"rows": rows, "summary": summary(rows)}


def _read(kept: Path | None) -> list[dict[str, Any]]:
    if kept is None or not kept.exists():
        return []
    return [json.loads(line) for line in kept.read_text().splitlines()]


def _timing(purchases: pl.DataFrame, products: pl.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Return what the models said of everybody who had bought; order also of BG/NBD alone."""
    past = purchases.filter(pl.col("ts") < AS_OF)
    inputs = ModelInputs({"purchases": past})
    models: dict[str, TimingModel] = {
        "ships": Hazard(shipped_timing()),
        "simple": RecencyGap(),
    }
    today = day_number(AS_OF)
    whole = read_log(purchases_of(inputs), as_of=AS_OF, keys=CUSTOMER)
    until = read_log(purchases_of(ModelInputs({"purchases": purchases})), as_of=_END, keys=CUSTOMER)
    had = until.ids["customer_id"].is_in(whole.ids["customer_id"].implode())
    seen = until.only(np.flatnonzero(had.to_numpy()))
    after = follow_up(seen, today, today + AHEAD_DAYS)
    outcome = Outcome(after.time.astype(np.float64), after.event)
    count = purchases_between(seen, today, today + AHEAD_DAYS).astype(np.float64)
    rows = []
    for name, model in models.items():
        begun = time.process_time()
        model.fit(inputs, as_of=AS_OF, seed=seed)
        seconds = time.process_time() - begun
        scores = model.score(inputs, as_of=AS_OF)
        curves = np.array(scores["survival"].to_list())
        row: dict[str, Any] = {"model": name, "says": model.finding(), "seconds": seconds}
        for days in HORIZONS:
            bought = outcome.event & (outcome.time <= days)
            row |= calibrated(scores[f"p_purchase_{days}d"].to_numpy(), bought, days)
        row["concordance"] = concordance(outcome, -mean_days_without(curves))
        for kind in ("expected", "median"):
            if f"{kind}_purchases_90d" in scores.columns:
                guess = scores[f"{kind}_purchases_90d"].to_numpy()
                row |= {f"{what}_{kind}": value for what, value in counted(guess, count).items()}
        rows.append(row)
    known, _ = summarise(whole, today)
    curves = fit_btyd(known).survival(known, np.arange(AHEAD_DAYS + 1.0))
    order = concordance(outcome, -mean_days_without(curves))
    return [*rows, {"model": "bg_nbd", "concordance": order}]


def _affinity(purchases: pl.DataFrame, products: pl.DataFrame, seed: int) -> list[dict[str, Any]]:
    past = purchases.filter(pl.col("ts") < AS_OF)
    tables = {"purchases": past, "product": products}
    views = {
        "customer_product": pairs_of(past, products, AS_OF),
        "product": _popular(products, past),
    }
    learned = TwoStageAffinity(shipped_affinity(top_n=_LIST))
    simple = DecayedCountsAffinity(DecayedCountsConfig(top_n=_LIST))
    rows = []
    for name, model, inputs in (
        ("ships", learned, ModelInputs(tables)),
        ("simple", simple, ModelInputs(views)),
    ):
        begun = time.process_time()
        model.fit(inputs, as_of=AS_OF, seed=seed)
        seconds = time.process_time() - begun
        lists = model.score(inputs, as_of=AS_OF)
        row = {"model": name, "says": model.finding(), "seconds": seconds}
        rows.append(row | list_metrics(lists, purchases, as_of=AS_OF))
    return rows


def pairs_of(past: pl.DataFrame, products: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return what `customer_product` would hold of a log without returns."""
    kinds = products.select("product_id", pl.col("^category$"))
    ago = (pl.lit(as_of) - pl.col("ts").dt.truncate("1d")).dt.total_days().cast(pl.Float64)
    days = past.select("customer_id", "product_id", ago.alias("ago")).unique()
    pairs = days.group_by("customer_id", "product_id").agg(
        pl.len().alias("purchase_days"),
        (0.5 ** (pl.col("ago") / _HALF_LIFE_DAYS)).sum().alias("decayed_count"),
        pl.col("ago").min().alias("days_since_purchase"),
        pl.lit(False).alias("returned"),
    )
    return pairs.join(kinds, on="product_id", how="left")


def _popular(products: pl.DataFrame, past: pl.DataFrame) -> pl.DataFrame:
    recent = past.filter(pl.col("ts") >= AS_OF - timedelta(days=90))
    buyers = recent.group_by("product_id").agg(pl.col("customer_id").n_unique().alias("buyers_90d"))
    return products.join(buyers, on="product_id", how="left")


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per shop and measure: means over the seeds, and the difference's error.

    Expected over actual and the errors of counts are of all seeds together.
    """
    found = []
    for shop in dict.fromkeys(row["shop"] for row in rows):
        for part, names in _MEASURES.items():
            mine = {
                model: [
                    row
                    for row in rows
                    if (row["shop"], row["part"], row["model"]) == (shop, part, model)
                ]
                for model in ("ships", "simple", "bg_nbd")
            }
            if not mine["ships"]:
                continue
            found += [{"shop": shop, "measure": name, **_means(mine, name)} for name in names]
            for days in HORIZONS if part == "timing" else ():
                ratio = {model: _ratio(mine[model], days) for model in ("ships", "simple")}
                found.append({"shop": shop, "measure": f"expected/actual_{days}d", **ratio})
    return found


_MEASURES: Final = {
    "timing": [
        *(f"{m}_{d}d" for d in HORIZONS for m in ("auc", "brier")),
        "concordance", "wape_expected", "bias_expected", "wape_median", "bias_median",
    ],
    "affinity": ["recall", "ndcg", "new_recall"],
}  # fmt: skip


def _means(mine: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> dict[str, float]:
    """Return the mean of a measure per model that has it, and the error of the difference."""
    values = {
        model: np.array([row[name] for row in rows])
        for model, rows in mine.items()
        if rows and name in rows[0]
    }
    # a seed in which nobody came has no AUC
    found = {model: float(np.nanmean(value)) for model, value in values.items()}
    if {"ships", "simple"} <= set(values) and len(values["ships"]) > 1:
        apart = values["ships"] - values["simple"]
        apart = apart[~np.isnan(apart)]
        found["error"] = float(np.std(apart, ddof=1) / np.sqrt(len(apart)))
    return found


def _ratio(rows: Sequence[Mapping[str, Any]], days: int) -> float:
    expected, actual = (
        sum(row[f"{what}_{days}d"] for row in rows) for what in ("expected", "actual")
    )
    return float(expected / max(1.0, actual))


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write the result, and a table per part; return the tables."""
    write_json(result, folder)
    text = "\n\n".join(_table(result["summary"], measures) for measures in _TABLES)
    (folder / "table.md").write_text(text + "\n")
    return text


_TABLES: Final = (
    [f"{m}_{d}d" for m in ("auc", "brier", "expected/actual") for d in HORIZONS],
    ["concordance", "wape_expected", "bias_expected", "wape_median", "bias_median"],
    ["recall", "ndcg", "new_recall"],
)
_MODELS_SHOWN: Final = ("ships", "simple", "bg_nbd")


def _table(found: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> str:
    """Return a table of `ships / simple` per shop and measure; BG/NBD third where it is asked."""
    cells = {(row["shop"], row["measure"]): row for row in found}
    lines = ["| shop | " + " | ".join(measures) + " |", "|---" * (len(measures) + 1) + "|"]
    for shop in dict.fromkeys(row["shop"] for row in found):
        if (shop, measures[0]) in cells:
            text = " | ".join(_cell(cells[shop, measure]) for measure in measures)
            lines.append(f"| {shop} | {text} |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any]) -> str:
    return " / ".join(f"{row[model]:.3f}" for model in _MODELS_SHOWN if model in row)
