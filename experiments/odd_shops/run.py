"""Fit the models as they ship and their simple rules on odd shops, and measure what came."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from scipy.stats import rankdata

from experiments.odd_shops.shops import AS_OF, SHOPS, make_shop
from nba.arrays import Bools, Floats
from nba.jobs.experiment_spec import write_json
from nba.models.affinity.decayed_counts import DecayedCountsAffinity, DecayedCountsConfig
from nba.models.affinity.two_stage import TwoStageAffinity
from nba.models.base import ModelInputs, TimingModel
from nba.models.spec import read_spec
from nba.models.timing.hazard import Hazard
from nba.models.timing.recency_gap import RecencyGap

HORIZONS: Final = (7, 30, 90)
_MODELS: Final = Path(__file__).parents[2] / "models"
_BASKET_DAYS: Final = 60
_HALF_LIFE_DAYS: Final = 180.0
_LIST: Final = 40
_PLACES: Final = 10


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
    past = purchases.filter(pl.col("ts") < AS_OF)
    inputs = ModelInputs({"purchases": past})
    after = purchases.filter(pl.col("ts") >= AS_OF).group_by("customer_id").agg(pl.col("ts").min())
    spec = read_spec(_MODELS / "timing.yaml").parameters
    models: dict[str, TimingModel] = {
        "ships": Hazard(Hazard.Config.model_validate(spec)),
        "simple": RecencyGap(),
    }
    rows = []
    for name, model in models.items():
        begun = time.process_time()
        model.fit(inputs, as_of=AS_OF, seed=seed)
        seconds = time.process_time() - begun
        scores = model.score(inputs, as_of=AS_OF).join(after, on="customer_id", how="left")
        wait = (pl.col("ts") - pl.lit(AS_OF)).dt.total_days()
        row: dict[str, Any] = {"model": name, "says": model.finding(), "seconds": seconds}
        for days in HORIZONS:
            bought = scores.select((wait < days).fill_null(False)).to_series().to_numpy()
            row |= _calibrated(scores[f"p_purchase_{days}d"].to_numpy(), bought, days)
        rows.append(row)
    return rows


def _calibrated(p: Floats, bought: Bools, days: int) -> dict[str, float]:
    """Return AUC, Brier score and expected over actual buyers."""
    yes, no = int(bought.sum()), int((~bought).sum())
    auc = math.nan
    if yes and no:
        auc = float((rankdata(p)[bought].sum() - yes * (yes + 1) / 2) / (yes * no))
    return {
        f"auc_{days}d": auc,
        f"brier_{days}d": float(((p - bought) ** 2).mean()),
        f"expected_{days}d": float(p.sum()),
        f"actual_{days}d": float(yes),
    }


def _affinity(purchases: pl.DataFrame, products: pl.DataFrame, seed: int) -> list[dict[str, Any]]:
    past = purchases.filter(pl.col("ts") < AS_OF)
    tables = {"purchases": past, "product": products}
    views = {
        "customer_product": pairs_of(past, products, AS_OF),
        "product": _popular(products, past),
    }
    given = read_spec(_MODELS / "affinity.yaml").parameters
    learned = TwoStageAffinity(TwoStageAffinity.Config.model_validate({**given, "top_n": _LIST}))
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
        rows.append(row | list_metrics(lists, purchases))
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


def list_metrics(lists: pl.DataFrame, purchases: pl.DataFrame) -> dict[str, float]:
    """Return recall and NDCG at 10 of the next baskets within 60 days, of all and of new things.

    Parameters
    ----------
    lists : polars.DataFrame
        The scores of an affinity model.
    purchases : polars.DataFrame
        Before and after `AS_OF`.
    """
    pair = ["customer_id", "product_id"]
    day = pl.col("ts").dt.truncate("1d")
    past, coming = (
        purchases.filter(pl.col("ts") < AS_OF),
        purchases.filter(
            (pl.col("ts") >= AS_OF) & (pl.col("ts") < AS_OF + timedelta(_BASKET_DAYS))
        ),
    )
    first = coming.filter(day == day.min().over("customer_id")).select(pair).unique()
    basket = first.join(past.select("customer_id").unique(), on="customer_id", how="semi")
    new = basket.join(past.select(pair).unique(), on=pair, how="anti")
    fresh = lists.filter(pl.col("times_bought") == 0).with_columns(
        pl.col("rank").rank("ordinal").over("customer_id").alias("rank")
    )
    found = _ranked(lists, basket)
    return {**found, "new_recall": _ranked(fresh, new)["recall"]}


def _ranked(lists: pl.DataFrame, basket: pl.DataFrame) -> dict[str, float]:
    sizes = basket.group_by("customer_id").len("size")
    hits = basket.join(
        lists.filter(pl.col("rank") <= _PLACES).select("customer_id", "product_id", "rank"),
        on=["customer_id", "product_id"],
    )
    per = hits.group_by("customer_id").agg(
        pl.len().alias("hits"),
        (1.0 / (pl.col("rank").cast(pl.Float64) + 1).log(2)).sum().alias("gain"),
    )
    table = sizes.join(per, on="customer_id", how="left").fill_null(0)
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, _PLACES + 2)))
    size = table["size"].to_numpy()
    best = ideal[np.minimum(size, _PLACES) - 1] if len(size) else np.ones(0)
    return {
        "customers": float(len(table)),
        "recall": float((table["hits"].to_numpy() / np.maximum(size, 1)).mean())
        if len(size)
        else 0.0,
        "ndcg": float((table["gain"].to_numpy() / best).mean()) if len(size) else 0.0,
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per shop and measure: means over the seeds, and the difference's error."""
    found = []
    shops = dict.fromkeys(row["shop"] for row in rows)
    for shop in shops:
        for part, names in (
            ("timing", [f"{m}_{d}d" for d in HORIZONS for m in ("auc", "brier")]),
            ("affinity", ["recall", "ndcg", "new_recall"]),
        ):
            mine = [row for row in rows if (row["shop"], row["part"]) == (shop, part)]
            ships, simple = (
                [row for row in mine if row["model"] == model] for model in ("ships", "simple")
            )
            if not mine:
                continue
            for name in names:
                a, b = (np.array([row[name] for row in one]) for one in (ships, simple))
                error = float(np.std(a - b, ddof=1) / np.sqrt(len(a))) if len(a) > 1 else math.nan
                found.append(
                    {
                        "shop": shop,
                        "measure": name,
                        "ships": float(a.mean()),
                        "simple": float(b.mean()),
                        "error": error,
                    }
                )
            for days in HORIZONS if part == "timing" else ():
                ratio = [
                    sum(row[f"expected_{days}d"] for row in one)
                    / max(1.0, sum(row[f"actual_{days}d"] for row in one))
                    for one in (ships, simple)
                ]
                found.append(
                    {
                        "shop": shop,
                        "measure": f"expected/actual_{days}d",
                        "ships": ratio[0],
                        "simple": ratio[1],
                        "error": math.nan,
                    }
                )
    return found


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write the result, and a table per part; return the tables."""
    write_json(result, folder)
    text = "\n\n".join(_table(result["summary"], measures) for measures in _TABLES)
    (folder / "table.md").write_text(text + "\n")
    return text


_TABLES: Final = (
    [f"{m}_{d}d" for m in ("auc", "brier", "expected/actual") for d in HORIZONS],
    ["recall", "ndcg", "new_recall"],
)


def _table(found: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> str:
    """Return a table of `ships / simple` per shop and measure."""
    cells = {(row["shop"], row["measure"]): row for row in found}
    lines = ["| shop | " + " | ".join(measures) + " |", "|---" * (len(measures) + 1) + "|"]
    for shop in dict.fromkeys(row["shop"] for row in found):
        if (shop, measures[0]) in cells:
            values = [cells[shop, measure] for measure in measures]
            text = " | ".join(f"{row['ships']:.3f} / {row['simple']:.3f}" for row in values)
            lines.append(f"| {shop} | {text} |")
    return "\n".join(lines)
