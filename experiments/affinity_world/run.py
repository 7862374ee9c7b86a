"""`affinity_world`: worlds whose taste is known, planted and simulated.

In the planted shop a customer's next purchase is drawn from a known probability, so a list is
judged by the probability it holds, free of the noise of the draw. The simulated retailer
(`nba.simulation`, both presets) has habits, prices, seasons and stock; its truth is the
appeal of each product to the customer in the categories that the customer buys.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from experiments.common.planted import planted_taste
from nba.arrays import Reals
from nba.evaluation.affinity import RankingTask, compare
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.config import TwoStageConfig
from nba.models.purchases import PurchaseLog, day_number
from nba.simulation import Preset, WorldConfig, simulate
from nba.simulation.demand import choice_logits, tier_now
from nba.simulation.world import World

HORIZON = 60


def affinity_world(
    *,
    seeds: Sequence[int] = (1, 2, 3),
    customers: int = 1000,
    products: int = 200,
    world_customers: int = 1500,
    world_days: int = 540,
) -> dict[str, Any]:
    """Compare all methods with the truth: a planted shop per seed, and both presets."""
    found = {
        f"planted {seed}": planted(seed=seed, customers=customers, products=products)
        for seed in seeds
    }
    for preset in Preset:
        config = WorldConfig(
            preset=preset, customers=world_customers, days=world_days, seed=seeds[0]
        )
        found[str(preset)] = simulated(config)
    return {"cutoffs": found, "seeds": list(seeds)}


def planted(*, seed: int, customers: int, products: int) -> dict[str, Any]:
    """Compare on a shop with planted taste."""
    shop = planted_taste(seed=seed, customers=customers, products=products, tastes=8)
    log = PurchaseLog.from_purchases(_purchases(shop.tables["transactions"]))
    cutoff = day_number(shop.as_of) - HORIZON
    people = pl.DataFrame({"customer_id": log.customer_ids}).with_row_index("customer")
    goods = pl.DataFrame({"product_id": log.product_ids}).with_row_index("product")
    rows = shop.truth.join(people, on="customer_id").join(goods, on="product_id")
    truth = np.zeros((log.n_customers, log.n_products))
    truth[rows["customer"].to_numpy(), rows["product"].to_numpy()] = rows["probability"].to_numpy()
    return _compare(log, Catalogue.build(log.product_ids, None), cutoff, truth, seed)


def simulated(config: WorldConfig) -> dict[str, Any]:
    """Compare on a simulated retailer, with habitual contacts going on."""
    with tempfile.TemporaryDirectory(prefix="nba-affinity-world-") as place:
        folder = Path(place) / "tables"
        world = simulate(config, folder)
        sales = pl.read_parquet(folder / "transactions.parquet")
        products = pl.read_parquet(folder / "products.parquet")
    log = PurchaseLog.from_purchases(
        _purchases(sales.filter(pl.col("customer_id").is_not_null() & (pl.col("quantity") > 0)))
    )
    cutoff = day_number(config.start) + config.days - HORIZON
    catalogue = Catalogue.build(log.product_ids, products)
    return _compare(log, catalogue, cutoff, true_taste(world, log, config.days - HORIZON), 0)


def true_taste(world: World, log: PurchaseLog, day: int) -> Reals:
    """Return the probability of each product by the customer's taste, rhythm and price tier.

    Shape (customers, products) of the log. Habit is left out: it is what was bought, not taste.
    """
    scene = world.scene
    people, goods = scene.people, scene.assortment
    tier = tier_now(scene, day)
    mass = np.zeros((people.count, goods.count))
    everyone = np.arange(people.count)
    on_sale = (goods.launched <= day) & (goods.retired > day)
    for cell in range(people.cell_category.shape[1]):
        category = people.cell_category[:, cell]
        slots = category[:, None] * goods.slots + np.arange(goods.slots)
        appeal = np.exp(choice_logits(scene, everyone, category, tier)) * on_sale[slots]
        share = appeal / np.maximum(appeal.sum(axis=1, keepdims=True), 1e-12)
        mass[everyone[:, None], slots] += share / people.cell_gap[:, [cell]]
    mass /= np.maximum(mass.sum(axis=1, keepdims=True), 1e-12)
    customer = _positions(scene.customer_ids, log.customer_ids)
    product = _positions(scene.product_ids, log.product_ids)
    return np.asarray(mass[np.ix_(customer, product)])


def _positions(known: pl.Series, wanted: pl.Series) -> Any:
    return wanted.replace_strict(known, np.arange(len(known)), return_dtype=pl.Int64).to_numpy()


def _purchases(sales: pl.DataFrame) -> pl.DataFrame:
    quantity = pl.col("quantity").cast(pl.Float64)
    return sales.select(
        "customer_id",
        "product_id",
        pl.col("ts").dt.replace_time_zone(None),
        quantity.alias("quantity"),
        (quantity * pl.col("unit_price").cast(pl.Float64)).alias("amount"),
    )


def _compare(
    log: PurchaseLog, catalogue: Catalogue, cutoff: int, truth: Reals, seed: int
) -> dict[str, Any]:
    # Every product is a candidate, so that the correlation with the truth covers all.
    config = TwoStageConfig(
        explore_candidates=log.n_products,
        repeat_candidates=log.n_products,
        first_kept=log.n_products,
        learn_rows=400_000,
        threads=2,
    )
    everyone = np.ones(log.n_customers, dtype=bool)
    task = RankingTask(log, catalogue, cutoff, HORIZON, everyone, everyone, 3)
    report, _ = compare(task, config, seed=seed, truth=truth)
    return report
