"""The same night by `nba demo` with the models as they ship, and with their simple rules alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from experiments.affinity_online_retail.run import online_retail
from experiments.common.data import data_folder
from experiments.common.lists import list_metrics
from experiments.common.timing import calibrated
from nba.data.mapping import read_mapping
from nba.errors import NbaError
from nba.jobs.demo import SHOP
from nba.jobs.experiment_spec import write_json
from nba.jobs.init import init_project
from nba.jobs.worlds import make_world
from nba.schema.languages import in_language
from nba.settings import Project
from nba.stores.run_folders import RunFolder
from nba.wiring import Wiring

HORIZONS: Final = (7, 30, 90)
#: What the thin models are: the kind and parameters that replace those of `models/NAME.yaml`.
THIN: Final = {"timing": "recency_gap", "affinity": "decayed_counts"}
_MAPPING: Final = "online_retail_ii_tidy"
_SHOWN: Final = 10
_AHEAD: Final = 90


@dataclass(frozen=True)
class Shop:
    """Tables to ingest, the day of the night, and all purchases, those after it included."""

    tables: Path
    mapping: str
    day: datetime
    purchases: pl.DataFrame


def shipped_night(
    *,
    day: str = "2011-09-01",
    shops: Sequence[str] = ("online_retail", "demo"),
    models: Sequence[str] = ("ships", "simple"),
) -> dict[str, Any]:
    """Run the nightly job per shop and set of models, and compare its scores with what came.

    Parameters
    ----------
    day : str
        Of the night on Online Retail II.
    shops : sequence of str
        `online_retail`, `demo` (the shop of `nba demo`, whose world goes on for 90 days), or both.
    models : sequence of str
        `ships`, `simple`, or both.
    """
    rows = []
    with tempfile.TemporaryDirectory(prefix="nba-night-") as place:
        for name in shops:
            shop = _online_retail(day) if name == "online_retail" else _demo(Path(place))
            for which in models:
                print(f"{name}, {which}: the nightly job", flush=True)
                folder = Path(place) / f"{name}-{which}"
                rows.append({"shop": name, "models": which, **_night(folder, shop, which)})
    return {"nights": rows}


def _online_retail(day: str) -> Shop:
    purchases = online_retail().with_columns(pl.col("customer_id").cast(pl.String))
    return Shop(data_folder("online_retail_ii"), _MAPPING, datetime.fromisoformat(day), purchases)


def _demo(place: Path) -> Shop:
    """Make the demo's shop, with 90 days more than the demo has; nobody contacts in them."""
    days = int(SHOP["days"])
    make_world(
        place / "shop", preset="published", family="capture", describe_it=False,
        **{**SHOP, "days": days + _AHEAD},
    )  # fmt: skip
    tables = place / "shop" / "tables"
    sold = pl.read_parquet(tables / "transactions.parquet").filter(pl.col("quantity") > 0)
    local = sold.with_columns(pl.col("ts").dt.replace_time_zone(None)).drop_nulls("customer_id")
    day = local["ts"].max()
    assert isinstance(day, datetime)
    night = datetime(day.year, day.month, day.day) + timedelta(days=1 - _AHEAD)
    return Shop(tables, "", night, local.select("customer_id", "product_id", "ts"))


def _night(folder: Path, shop: Shop, which: str) -> dict[str, Any]:
    """Make a project, run its night, and return what it took, said and foretold."""
    defaults = read_mapping(shop.mapping).project.model_dump() if shop.mapping else {}
    wanted = {name: value for name, value in defaults.items() if name != "as_of" and value}
    project = init_project(folder, wanted)
    if which == "simple":
        _make_thin(folder / "models")
    command = [sys.executable, "-m", "nba", "--project", str(folder), "demo", "--no-serve"]
    command += ["--data", str(shop.tables), "--as-of", f"{shop.day.date()}"]
    command += ["--mapping", shop.mapping] if shop.mapping else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NbaError(
            "the night did not end well", found=done.stdout[-2000:] + done.stderr[-2000:]
        )
    run = RunFolder(folder / "data" / "runs" / f"{shop.day.date()}")
    steps = json.loads((run.path / "manifest.json").read_text())["steps"]
    lists = run.read("scores/affinity")
    night = {
        "seconds": {name: step["seconds"] for name, step in steps.items()},
        "fit_seconds": steps["train"]["fit_seconds"],
        "train_peak_mb": steps["train"]["peak_mb"],
        "findings": steps["train"]["findings"],
        "lists": list_metrics(lists, shop.purchases, as_of=shop.day, min_baskets=3),
        "timing": _timing(run.read("scores/timing"), shop),
    }
    return night | _brought(run.read("plan/actions"), lists, shop, _names(project, shop.day))


def _make_thin(folder: Path) -> None:
    """Name the simple rules in the models' files."""
    import yaml

    for name, kind in THIN.items():
        path = folder / f"{name}.yaml"
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump(spec | {"kind": kind, "parameters": {}}), encoding="utf-8")


def _timing(scores: pl.DataFrame, shop: Shop) -> dict[str, float]:
    """Return order and level of the chances of buying, of those who bought in the year before."""
    bought = shop.purchases
    year = pl.lit(shop.day) - timedelta(days=365)
    lately = bought.filter((pl.col("ts") >= year) & (pl.col("ts") < shop.day))
    coming = bought.filter(pl.col("ts") >= shop.day).group_by("customer_id")
    asked = scores.join(lately.select("customer_id").unique(), on="customer_id", how="semi").join(
        coming.agg(pl.col("ts").min()), on="customer_id", how="left"
    )
    found: dict[str, float] = {"customers": float(len(asked))}
    for days in HORIZONS:
        came = (pl.col("ts") < pl.lit(shop.day) + timedelta(days=days)).fill_null(False)
        one = calibrated(
            asked[f"p_purchase_{days}d"].to_numpy(), asked.select(came).to_series().to_numpy(), days
        )
        found |= one | {
            f"expected/actual_{days}d": one[f"expected_{days}d"] / one[f"actual_{days}d"]
        }
    return found


def _names(project: Project, day: datetime) -> dict[str, str]:
    products = Wiring(project).feature_store.snapshot("product", day)
    named = products.select("product_id", pl.coalesce("name", "product_id").alias("name"))
    return {product: in_language(name, "en") for product, name in named.iter_rows()}


def _brought(
    actions: pl.DataFrame, lists: pl.DataFrame, shop: Shop, names: Mapping[str, str]
) -> dict[str, Any]:
    """Return who of the listed came without being asked, and what they bought of what was brought.

    Beside it, of as many products from the top of the same customers' own lists.
    """
    listed = actions.filter(pl.col("mode") != "none")
    until = shop.day + timedelta(days=30)
    coming = shop.purchases.filter((pl.col("ts") >= shop.day) & (pl.col("ts") < until))
    bought: dict[str, set[str]] = {}
    for customer, product in coming.select("customer_id", "product_id").iter_rows():
        bought.setdefault(customer, set()).add(product)
    selling = listed.filter(pl.col("product_ids").list.len() > 0)
    tops = dict(lists.sort("rank").group_by("customer_id").agg("product_id").iter_rows())
    hits, top_hits = 0, 0
    for customer, products in selling.select("customer_id", "product_ids").iter_rows():
        had, top = bought.get(customer, set()), tops.get(customer, [])[: len(products)]
        hits, top_hits = hits + len(had & set(products)), top_hits + len(had & set(top))
    clerk = str(listed["clerk_id"].unique().sort()[0])
    mine = listed.filter(pl.col("clerk_id") == clerk).sort("rank").head(_SHOWN)
    return {
        "listed": len(listed),
        "listed_who_came_30d": sum(c in bought for c in listed["customer_id"]) / len(listed),
        "brought": int(selling["product_ids"].list.len().sum()),
        "brought_and_bought_30d": hits,
        "top_of_list_and_bought_30d": top_hits,
        "clerk": clerk,
        "list": [_line(row, bought, names) for row in mine.iter_rows(named=True)],
    }


def _line(
    row: Mapping[str, Any], bought: Mapping[str, set[str]], names: Mapping[str, str]
) -> dict[str, Any]:
    had = bought.get(row["customer_id"], set())
    return {
        "customer": row["customer_id"],
        "action": row["action_type"],
        "brings": [
            ("**" if product in had else "") + names.get(product, product)
            + ("**" if product in had else "")
            for product in row["product_ids"] or []
        ],
        "why": [reason["en"] for reason in row["reasons"] if reason["kind"] == "reason"],
        "p_30d": row["p_repurchase_30d"],
        "came": row["customer_id"] in bought,
    }  # fmt: skip


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write `result.json` and the lists side by side; return the figures."""
    write_json(result, folder)
    text = figures(result["nights"])
    pages = [text]
    for shop in dict.fromkeys(night["shop"] for night in result["nights"]):
        pages += [_side(night) for night in result["nights"] if night["shop"] == shop]
    (folder / "lists.md").write_text("\n\n".join(pages) + "\n", encoding="utf-8")
    return text


def figures(nights: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of what each night foretold and took."""
    lines = [
        "| shop | models | R@10 | NDCG@10 | new R@10 | AUC 7/30/90 days | Brier 7/30/90 days "
        "| expected/actual 7/30/90 days | training, s | peak, MB | listed who came in 30 days "
        "| brought and bought | top of the list and bought |",
        "|---" * 13 + "|",
    ]
    for night in nights:
        lists, timing = night["lists"], night["timing"]
        by_horizon = [
            " / ".join(f"{timing[f'{name}_{days}d']:.{digits}f}" for days in HORIZONS)
            for name, digits in (("auc", 3), ("brier", 4), ("expected/actual", 2))
        ]
        cells = [
            night["shop"], night["models"],
            *(f"{lists[name]:.4f}" for name in ("recall", "ndcg", "new_recall")), *by_horizon,
            f"{night['seconds']['train']:.0f}", f"{night['train_peak_mb']:.0f}",
            f"{night['listed_who_came_30d']:.1%}",
            f"{night['brought_and_bought_30d']} of {night['brought']}",
            f"{night['top_of_list_and_bought_30d']} of {night['brought']}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _side(night: Mapping[str, Any]) -> str:
    lines = [
        f"### {night['shop']}: {night['models']}, clerk {night['clerk']}",
        "",
        "| customer | action | brings | why | P(30 days) | came |",
        "|---|---|---|---|---|---|",
    ]
    for row in night["list"]:
        brings, why = "; ".join(row["brings"]), "; ".join(row["why"])
        came = "yes" if row["came"] else ""
        cells = [row["customer"], row["action"], brings, why, f"{row['p_30d'] or 0.0:.2f}", came]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
