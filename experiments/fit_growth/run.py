"""Fit the models as they ship on drawn shops of growing size, each in a process of its own."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from experiments.affinity_bench.run import AS_OF, synthetic_products, synthetic_purchases
from experiments.common.shipped import shipped_affinity, shipped_timing
from nba.jobs.experiment_spec import write_json
from nba.models.affinity.two_stage import TwoStageAffinity
from nba.models.base import Model, ModelInputs
from nba.models.timing.hazard import Hazard


def fit_growth(
    *,
    sizes: Sequence[int] = (2_000, 50_000),
    models: Sequence[str] = ("timing", "affinity"),
    products: int = 2_000,
    seed: int = 1,
) -> dict[str, Any]:
    """Return seconds and peak memory of each fit at each size.

    Parameters
    ----------
    sizes : sequence of int
        Customers: seven days with a purchase of three lines on average, in a year and a half.
    models : sequence of str
        `timing`, `affinity`, or both.
    products : int
    seed : int
    """
    tasks = [(name, size, products, seed) for size in sizes for name in models]
    rows = []
    for task in tasks:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append(pool.submit(_fit, task).result())
        print(_line(rows[-1]), flush=True)
    return {"fits": rows, "seed": seed}


def _fit(task: tuple[str, int, int, int]) -> dict[str, Any]:
    name, customers, products, seed = task
    purchases = synthetic_purchases(customers, products, seed=seed)
    catalogue = synthetic_products(products)
    named = purchases.join(
        catalogue.select("product_id", "category"), on="product_id", maintain_order="left"
    )
    inputs = ModelInputs({"purchases": named, "product": catalogue})
    model: Model = (
        Hazard(shipped_timing()) if name == "timing" else TwoStageAffinity(shipped_affinity())
    )
    before, begun, worked = _peak_gb(), perf_counter(), process_time()
    model.fit(inputs, as_of=AS_OF, seed=seed)
    return {
        "model": f"{name} ({model.kind})",
        "customers": customers,
        "lines": purchases.height,
        "processor_seconds": round(process_time() - worked, 1),
        "seconds": round(perf_counter() - begun, 1),
        "peak_gb_before": round(before, 2),
        "peak_gb": round(_peak_gb(), 2),
    }


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write `result.json`; return a table."""
    write_json(result, folder)
    columns = list(result["fits"][0])
    head = "| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|"
    return "\n".join([head, *(_line(row) for row in result["fits"])])


def _line(row: Mapping[str, Any]) -> str:
    return "| " + " | ".join(f"{value:,}" if isinstance(value, int) else str(value)
                             for value in row.values()) + " |"  # fmt: skip
