"""From ids in tables to positions in arrays."""

from __future__ import annotations

import numpy as np
import polars as pl

from nba.arrays import Ints
from nba.errors import UsageError
from nba.simulation.messages import MAX_PRODUCTS
from nba.simulation.scene import Scene


def positions(ids: pl.Series, known: pl.Series, what: str) -> Ints:
    """Return the positions of ids.

    Raises
    ------
    UsageError
        Where an id is not known to the world.
    """
    place = pl.DataFrame({"id": known, "place": np.arange(len(known))})
    found = pl.DataFrame({"id": ids.cast(pl.String)}).join(
        place, on="id", how="left", maintain_order="left"
    )
    missing = found.filter(pl.col("place").is_null())
    if missing.height:
        raise UsageError(
            f"the world has no such {what}",
            expected=f"one of {len(known)} ids such as {known[0]}",
            found=str(missing["id"][0]),
            next_step="step the world with a plan made from its own tables",
        )
    return found["place"].to_numpy().astype(np.int64)


def product_positions(scene: Scene, lists: pl.Series) -> Ints:
    """Return up to six product positions per row, -1 for none.

    Lists may also come as text, as CSV exports have them; unknown products are left out.
    """
    wide = np.full((len(lists), MAX_PRODUCTS), -1)
    if lists.dtype == pl.String:
        lists = lists.str.extract_all(r"[A-Za-z0-9_\-]+")
    known = pl.DataFrame({"id": scene.product_ids, "place": np.arange(scene.assortment.count)})
    rows = (
        pl.DataFrame({"row": np.arange(len(lists)), "id": lists.cast(pl.List(pl.String))})
        .explode("id")
        .join(known, on="id", how="inner", maintain_order="left")
        .with_columns(pl.int_range(pl.len()).over("row").alias("slot"))
        .filter(pl.col("slot") < MAX_PRODUCTS)
    )
    wide[rows["row"].to_numpy(), rows["slot"].to_numpy()] = rows["place"].to_numpy()
    return wide
