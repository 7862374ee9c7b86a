"""Writing and reading the fitted state without pickle: arrays in `.npz`, the rest in JSON."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp

from nba.files import write_text
from nba.models.affinity.candidates.fitted import Fitted
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.candidates.sources import Factors, Neighbours
from nba.models.affinity.history.state import Products
from nba.models.affinity.serving.cold_start import Segments

_ARRAYS, _STATE = "sources.npz", "state.json"
_MATRICES = (
    "item",
    "basket_item",
    "content",
    "category_trend",
    "store_trend",
    "neighbours",
    "segments",
)


@dataclass(frozen=True)
class Saved:
    """What `read` returns."""

    fitted: Fitted
    catalogue: Catalogue
    segments: Segments
    state: dict[str, Any]


def write(
    folder: Path,
    *,
    fitted: Fitted,
    catalogue: Catalogue,
    segments: Segments,
    state: dict[str, Any],
) -> None:
    """Write the sources into `folder`.

    Parameters
    ----------
    folder : Path
        There already.
    fitted : Fitted
    catalogue : Catalogue
    segments : Segments
        Shares of products within segments of customers.
    state : dict of str to object
        What is not an array: JSON.
    """
    matrices = {
        "item": fitted.item,
        "basket_item": fitted.basket_item,
        "content": fitted.content,
        "category_trend": fitted.category_trend,
        "store_trend": fitted.store_trend,
        "neighbours": fitted.neighbours.vectors,
        "segments": segments.shares,
    }
    arrays: dict[str, Any] = {
        "products": fitted.products.values,
        "popularity": fitted.products.popularity,
        "is_new": fitted.products.is_new,
        "sold": fitted.products.sold,
        "log_price": fitted.log_price,
        "factors": fitted.factors.products,
        "category": fitted.category,
        "popular": fitted.popular,
        "season": fitted.season,
        "new": fitted.new,
        "buyer_share": fitted.buyer_share,
    }
    for name, matrix in matrices.items():
        arrays |= {
            f"{name}.data": matrix.data,
            f"{name}.indices": matrix.indices,
            f"{name}.indptr": matrix.indptr,
            f"{name}.shape": np.array(matrix.shape),
        }
    np.savez(folder / _ARRAYS, **arrays)
    head = state | {
        "segments": segments.values.to_list(),
        "categories": catalogue.categories.to_list(),
        "product_features": fitted.products.names,
        "regularization": fitted.factors.regularization,
        "neighbours": fitted.neighbours.k,
    }
    (folder / _STATE).write_text(json.dumps(head, ensure_ascii=False, sort_keys=True))


def rename(folder: Path, name: str, ids: Collection[str]) -> list[str]:
    """Put a random name in place of each of `ids` in a list of ids; return those that were there.

    The list keeps its length and stays free of repeats, as the arrays beside it need.
    """
    head = json.loads((folder / _STATE).read_text())
    gone = sorted(set(ids).intersection(head[name]))
    if gone:
        head[name] = [
            f"erased:{token_hex(12)}" if customer_id in gone else customer_id
            for customer_id in head[name]
        ]
        write_text(folder / _STATE, json.dumps(head, ensure_ascii=False, sort_keys=True))
    return gone


def read(folder: Path) -> Saved:
    """Read back what `write` wrote."""
    head = json.loads((folder / _STATE).read_text())
    with np.load(folder / _ARRAYS, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    matrices = {
        name: sp.csr_matrix(
            tuple(arrays[f"{name}.{part}"] for part in ("data", "indices", "indptr")),
            shape=tuple(arrays[f"{name}.shape"]),
        )
        for name in _MATRICES
    }
    vectors = matrices["neighbours"]
    products = Products(
        names=tuple(head["product_features"]),
        values=arrays["products"],
        popularity=arrays["popularity"],
        is_new=arrays["is_new"],
        sold=arrays["sold"],
    )
    fitted = Fitted(
        products=products,
        log_price=arrays["log_price"],
        item=matrices["item"],
        basket_item=matrices["basket_item"],
        content=matrices["content"],
        category_trend=matrices["category_trend"],
        store_trend=matrices["store_trend"],
        category=arrays["category"],
        factors=Factors(arrays["factors"], head["regularization"]),
        neighbours=Neighbours(vectors, np.arange(vectors.shape[0]), head["neighbours"]),
        popular=arrays["popular"],
        season=arrays["season"],
        new=arrays["new"],
        buyer_share=arrays["buyer_share"],
    )
    names = pl.Series("category", head["categories"], dtype=pl.String)
    return Saved(
        fitted=fitted,
        catalogue=Catalogue(arrays["category"], names, matrices["content"], arrays["log_price"]),
        segments=Segments(
            pl.Series("value", head["segments"], dtype=pl.String), matrices["segments"]
        ),
        state=head,
    )
