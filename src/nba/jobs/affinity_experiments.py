"""The affinity experiments: Ta-Feng, Online Retail II, and any purchase log.

Each returns a report that is plain JSON; `write_report` puts it into a folder with a table
and a plot. Run from the repository::

    python -m nba.jobs.affinity_experiments affinity_tafeng
    python -m nba.jobs.affinity_experiments affinity_online_retail
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Bools
from nba.errors import InputRefusedError, UsageError
from nba.evaluation.affinity import Question, compare
from nba.evaluation.affinity_cornac import cornac_methods
from nba.jobs.affinity_report import short, write_report
from nba.jobs.affinity_world import run_world
from nba.jobs.public_data import data_folder
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.config import TwoStageConfig
from nba.models.affinity.log import PurchaseLog, day_number
from nba.models.affinity.scores import homes
from nba.models.base import ModelInputs

#: A log of baskets without time: days are baskets, counted from the end.
ORDER_ONLY: Final = TwoStageConfig(
    cutoff_days=(1,),
    year_ago_cutoffs=0,
    horizon=1,
    min_baskets=1,
    half_lives=(1.0, 3.0, 8.0, 1000.0),
    windows=(1, 2, 4, 16),
    season_days=10_000,
    new_days=0,
    new_candidates=0,
    popular_candidates=40,
    reference_customers=20_000,
    learn_customers=20_000,
    threads=1,
)
#: Days of the train customers' purchases, from the last basket on, that may be learned from.
PROTOCOLS: Final = {"honest": 0, "full": 1}
DATED: Final = TwoStageConfig()
CUTOFFS: Final = (date(2011, 9, 1), date(2011, 10, 15))
BARS: Final = {
    "affinity_tafeng": {"recall@10": 0.168, "ndcg@10": 0.145},
    "2011-09-01": {"recall@10": 0.188, "recall@20": 0.273, "ndcg@10": 0.224},
    "2011-10-15": {"recall@10": 0.197, "recall@20": 0.280, "ndcg@10": 0.227},
}


# -- Ta-Feng ----------------------------------------------------------------------------


def tafeng_log(folder: Path) -> PurchaseLog:
    """Return Ta-Feng with the last basket of each customer on day 0, the one before on day −1."""
    table = pl.read_parquet(folder / "basket_items.parquet")
    index = pl.col("basket_index").cast(pl.Int64)
    return PurchaseLog.from_purchases(
        table.select(
            pl.col("user_id").alias("customer_id"),
            pl.col("item_id").cast(pl.String).alias("product_id"),
            (index - index.max().over("user_id")).alias("day"),
        )
    )


def reality_check_split(n: int, seed: int) -> tuple[Bools, Bools, Bools]:
    """Return masks of the first 72 %, the next 8 %, and the last 20 % of shuffled customers."""
    order = np.random.default_rng(seed).permutation(n)
    part = np.searchsorted([int(0.72 * n), int(0.80 * n)], np.arange(n), side="right")
    group = np.empty(n, dtype=np.int64)
    group[order] = part
    return group == 0, group == 1, group == 2


def run_tafeng(
    folder: Path,
    *,
    seeds: Sequence[int] = range(5),
    config: TwoStageConfig = ORDER_ONLY,
    processes: int = 2,
    write: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run the Reality Check protocol, as an honest forecast and in full.

    The honest forecast learns from second-last baskets: nothing is taken from anyone's last
    basket. The full protocol also learns from the last baskets of the train customers.
    `write` is called with what there is after each protocol.
    """
    protocols: dict[str, Any] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for protocol in PROTOCOLS:
            runs = list(pool.map(_tafeng_seed, [(folder, protocol, s, config) for s in seeds]))
            protocols[protocol] = {
                part: _over_seeds([{name: run[name][part] for name in run} for run in runs])
                for part in ("test", "validation")
            }
            found = {"protocols": protocols, "seeds": list(seeds), "bars": BARS["affinity_tafeng"]}
            if write is not None:
                write(found)
    return found


def _tafeng_seed(task: tuple[Path, str, int, TwoStageConfig]) -> dict[str, Any]:
    """Return method → part → metric for one protocol and seed."""
    folder, protocol, seed, config = task
    log = tafeng_log(folder)
    catalogue = Catalogue.build(log.product_ids, None)
    train, validation, test = reality_check_split(log.n_customers, seed)
    question = Question(
        log, catalogue, 0, 1, train, test | validation, 1, knowledge=PROTOCOLS[protocol]
    )
    # cornac takes what is before the cut-off only, so it stands beside the honest forecast.
    others = {} if PROTOCOLS[protocol] else cornac_methods(question)
    _, raw = compare(question, config, seed=seed, others=others)
    in_test = test[question.rows()]
    found = {
        name: {
            part: {metric: float(np.nanmean(values[mask])) for metric, values in metrics.items()}
            for part, mask in (("test", in_test), ("validation", ~in_test))
        }
        for name, metrics in raw.items()
    }
    print(protocol, "seed", seed, short(found["two_stage"]["test"]), flush=True)
    return found


def _over_seeds(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Return mean and standard deviation over seeds per method and metric."""
    spread = 1 if len(runs) > 1 else 0
    return {
        method: {
            metric: [
                round(float(np.mean(values)), 4),
                round(float(np.std(values, ddof=spread)), 4),
            ]
            for metric in runs[0][method]
            for values in [[run[method][metric] for run in runs]]
        }
        for method in runs[0]
    }


# -- dated logs ---------------------------------------------------------------------------


def run_log(
    purchases: pl.DataFrame,
    *,
    cutoffs: Sequence[date],
    products: pl.DataFrame | None = None,
    config: TwoStageConfig = DATED,
    seed: int = 0,
    horizon: int = 60,
    min_baskets: int = 3,
) -> dict[str, Any]:
    """Compare all methods on a dated purchase log, at each cut-off.

    Parameters
    ----------
    purchases : polars.DataFrame
        `customer_id`, `product_id`, `ts`, and where there are any `quantity`, `amount`, `name`,
        `category`. Rows with a quantity of zero or less are left out.
    cutoffs : sequence of date
        Everything is learned strictly before; the target is the first basket within `horizon`
        days, of customers with `min_baskets` before.
    products : polars.DataFrame, optional
        `product_id` with `name`, `category`, `brand`. Default: the latest row of `purchases`
        before the cut-off.
    """
    log = PurchaseLog.from_purchases(purchases)
    everyone = np.ones(log.n_customers, dtype=bool)
    found: dict[str, Any] = {"cutoffs": {}, "seed": seed}
    for moment in cutoffs:
        catalogue = Catalogue.build(log.product_ids, _known(purchases, products, moment))
        start = datetime(moment.year, moment.month, moment.day)
        stores = homes(ModelInputs({}), purchases.filter(pl.col("ts") < start))
        question = Question(
            log.with_homes(stores),
            catalogue,
            day_number(moment),
            horizon,
            everyone,
            everyone,
            min_baskets,
        )
        if not len(question.rows()):
            raise InputRefusedError(
                f"nobody can be asked about at the cut-off {moment}",
                expected=f"customers with {min_baskets} baskets before and one after",
                found="none",
                next_step="choose a cut-off inside the log",
            )
        report, _ = compare(question, config, seed=seed, others=cornac_methods(question))
        found["cutoffs"][moment.isoformat()] = report
        ours = report["methods"]["two_stage"]
        print(
            moment,
            short({name: value[0] for name, value in ours.items() if isinstance(value, list)}),
            flush=True,
        )
    return found


def _known(
    purchases: pl.DataFrame, products: pl.DataFrame | None, moment: date
) -> pl.DataFrame | None:
    columns = [name for name in ("name", "category", "brand") if name in purchases.columns]
    if products is not None or not columns:
        return products
    start = datetime(moment.year, moment.month, moment.day)
    past = purchases.filter(pl.col("ts") < start).sort("ts", *columns)
    return past.group_by("product_id").agg(pl.col(columns).last())


def online_retail(folder: Path) -> pl.DataFrame:
    """Return the usable lines of Online Retail II as purchases."""
    table = pl.read_parquet(folder / "transactions.parquet").filter(
        pl.col("customer_id").is_not_null()
        & ~pl.col("is_cancellation")
        & (pl.col("quantity") > 0)
        & (pl.col("unit_price") > 0)
        & pl.col("is_product")
    )
    return table.select(
        "customer_id",
        pl.col("stock_code").alias("product_id"),
        pl.col("invoice_date").alias("ts"),
        "quantity",
        (pl.col("quantity") * pl.col("unit_price")).alias("amount"),
        pl.col("description").alias("name"),
    )


def run_online_retail(
    folder: Path,
    *,
    config: TwoStageConfig = DATED,
    cutoffs: Sequence[date] = CUTOFFS,
    seed: int = 0,
) -> dict[str, Any]:
    """Run Online Retail II at its two cut-offs."""
    found = run_log(online_retail(folder), cutoffs=cutoffs, config=config, seed=seed)
    return found | {"bars": {str(moment): BARS.get(str(moment)) for moment in cutoffs}}


def run_on_folder(
    folder: Path,
    *,
    mapping: str | Path | None,
    cutoff: date,
    time_zone: str,
    now: datetime,
    config: TwoStageConfig = DATED,
    seed: int = 0,
    horizon: int = 60,
    min_baskets: int = 3,
) -> dict[str, Any]:
    """Compare all methods on a retailer's own tables, read through the lake.

    Raises
    ------
    InputRefusedError
        When the folder cannot be loaded, or nobody can be asked about at the cut-off.
    """
    purchases, products = _read(folder, mapping, time_zone, now)
    kinds = purchases["product_id"].n_unique()
    if kinds < 2:
        raise InputRefusedError(
            f"{folder} holds no products to choose from",
            expected="transactions of two products or more",
            found=f"{kinds} product" if kinds == 1 else "no transactions of known customers",
            next_step="map a column to product_id; without products only timing can be compared",
        )
    return run_log(
        purchases,
        cutoffs=[cutoff],
        products=products,
        config=config,
        seed=seed,
        horizon=horizon,
        min_baskets=min_baskets,
    )


def _read(
    folder: Path, mapping: str | Path | None, time_zone: str, now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what was bought, and the catalogue, from a folder of tables."""
    import ibis

    from nba.data.ingest import ingest
    from nba.data.lake import Lake
    from nba.data.tables import load_tables

    with tempfile.TemporaryDirectory(prefix="nba-affinity-") as place:
        lake = Lake(Path(place))
        ingest(folder, lake, mapping=mapping, time_zone=time_zone, now=now)
        connection = ibis.duckdb.connect()
        tables = load_tables(lake, as_of=None, time_zone=time_zone, connection=connection)
        lines = tables["transactions"]
        lines = lines.filter(lines.customer_id.notnull() & (lines.quantity > 0))
        amount = lines.quantity * lines.unit_price.fill_null(0.0)
        columns = ("customer_id", "product_id", "ts", "store_id")
        purchases = lines.select(*columns, quantity=lines.quantity, amount=amount).to_pyarrow()
        catalogue = tables["products"]
        catalogue = catalogue.select("product_id", "name", "category", "brand").to_pyarrow()
        connection.disconnect()
    frame, products = pl.DataFrame(pl.from_arrow(purchases)), pl.DataFrame(pl.from_arrow(catalogue))
    priced = pl.when(pl.col("amount") > 0).then("amount")
    return frame.with_columns(pl.col("ts").cast(pl.Datetime("us")), amount=priced), products


RUNNERS: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "affinity_tafeng": lambda: run_tafeng(data_folder("tafeng_nbr")),
    "affinity_world": run_world,
    "affinity_online_retail": lambda: run_online_retail(data_folder("online_retail_ii")),
}


def main(arguments: Sequence[str]) -> None:
    """Run the experiments named on the command line into `experiments/NAME`."""
    for name in arguments:
        if name not in RUNNERS:
            raise UsageError(f"no experiment {name!r}", expected=", ".join(RUNNERS), found=name)
        start = time.perf_counter()
        folder = Path("experiments") / name

        def write(result: Mapping[str, Any], folder: Path = folder, start: float = start) -> None:
            write_report(result, folder, seconds=time.perf_counter() - start)

        if name == "affinity_tafeng":
            write(run_tafeng(data_folder("tafeng_nbr"), write=write))
        else:
            write(RUNNERS[name]())


if __name__ == "__main__":
    main(sys.argv[1:])
