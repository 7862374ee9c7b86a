"""Fit the models as they ship on drawn shops of growing size, each in a process of its own."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final, TypeVar

from experiments.affinity_bench.run import AS_OF
from experiments.common.shipped import shipped_affinity, shipped_mode, shipped_timing
from experiments.fit_growth.shop import read_inputs, read_tables, write_shop
from nba.jobs.experiment_spec import write_json
from nba.models.affinity.two_stage import TwoStageAffinity
from nba.models.base import Model, ModelInputs
from nba.models.contact_value.model import ContactValueMode
from nba.models.contact_value.training import contact_training
from nba.models.needs.build import rhythm_of
from nba.models.some_customers import some_customers
from nba.models.timing.hazard import Hazard

_T = TypeVar("_T")
_WINDOW_DAYS, _OUTCOME_DAYS = 365, 14


def fit_growth(
    *,
    sizes: Sequence[int] = (2_000, 50_000),
    models: Sequence[str] = ("timing", "affinity", "mode"),
    products: int = 2_000,
    seed: int = 1,
) -> dict[str, Any]:
    """Return seconds and peak memory of each fit at each size.

    Parameters
    ----------
    sizes : sequence of int
        Customers: seven days with a purchase of three lines on average, in a year and a half, and
        fifteen contacts in the last year.
    models : sequence of str
        `timing`, `affinity`, `mode`.
    products : int
    seed : int
    """
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="fit-growth-") as made:
            _apart(write_shop, Path(made), size, products, seed)
            for name in models:
                rows.append(_apart(_fit, name, Path(made), size, products, seed))
                print(_line(rows[-1]), flush=True)
    return {"fits": rows, "seed": seed}


def _apart(work: Callable[..., _T], *given: Any) -> _T:
    """Return what `work` returns, from a process of its own, whose memory goes with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def _fit(name: str, folder: Path, customers: int, products: int, seed: int) -> dict[str, Any]:
    inputs = read_inputs(folder, products, views=name == "mode")
    model, read = _MODELS[name]
    before, begun, worked = _peak_gb(), perf_counter(), process_time()
    inputs = read(inputs, folder, seed)
    learned = perf_counter()
    model().fit(inputs, as_of=AS_OF, seed=seed)
    return {
        "model": name,
        "customers": customers,
        "processor_seconds": round(process_time() - worked, 1),
        "seconds": round(perf_counter() - begun, 1),
        "of_them_reading": round(learned - begun, 1),
        "peak_gb_before": round(before, 2),
        "peak_gb": round(_peak_gb(), 2),
    }


def _as_given(inputs: ModelInputs, folder: Path, seed: int) -> ModelInputs:
    return inputs


def _with_contacts(inputs: ModelInputs, folder: Path, seed: int) -> ModelInputs:
    """Add what contacts brought, as the night reads it from the lake."""
    config = shipped_mode()
    tables = some_customers(read_tables(folder), config.largest_log, seed=seed)
    contacts = contact_training(
        tables,
        rhythm_of(inputs),
        config,
        as_of=AS_OF,
        window_days=_WINDOW_DAYS,
        outcome_days=_OUTCOME_DAYS,
        seed=seed,
    )
    return ModelInputs({**inputs, **contacts})


_MODELS: Final[dict[str, tuple[Callable[[], Model], Callable[..., ModelInputs]]]] = {
    "timing": (lambda: Hazard(shipped_timing()), _as_given),
    "affinity": (lambda: TwoStageAffinity(shipped_affinity()), _as_given),
    "mode": (lambda: ContactValueMode(shipped_mode()), _with_contacts),
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
