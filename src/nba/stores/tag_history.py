"""What became of each customer's tags: which were set and which went, night by night.

Snapshots are kept for two weeks; this log of changes stays. A file per night under
``data/features/tag_changes/``, written from the snapshot of the night and the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from nba.data.erasure import CUSTOMER, Tally
from nba.files import write_parquet
from nba.stores.snapshots import STAMP

SET: Final = "set"
GONE: Final = "gone"
_SCHEMA: Final = {
    "customer_id": pl.String(),
    "tag": pl.String(),
    "source": pl.String(),
    "value": pl.String(),
    "change": pl.String(),
    "as_of": pl.Datetime("us"),
}


def changes(before: pl.DataFrame, after: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return the tags that were set or went between two snapshots of `customer_tags`.

    A tag whose value or source changed counts as gone and set.
    """
    keys = ["customer_id", "tag", "source", "value"]
    old, new = before.select(keys), after.select(keys)
    parts = [
        new.join(old, on=keys, how="anti", nulls_equal=True).with_columns(change=pl.lit(SET)),
        old.join(new, on=keys, how="anti", nulls_equal=True).with_columns(change=pl.lit(GONE)),
    ]
    noted = pl.concat(parts).with_columns(as_of=pl.lit(as_of)).cast(pl.Schema(_SCHEMA))
    return noted.select(list(_SCHEMA)).sort(*keys, "change", nulls_last=True)


@dataclass(frozen=True)
class TagHistory:
    """The log of changes below one folder.

    Parameters
    ----------
    root : Path
    """

    root: Path

    def note(self, before: pl.DataFrame, after: pl.DataFrame, as_of: datetime) -> None:
        """Write the changes of one night; writing it again replaces them."""
        path = self.root / f"{as_of.strftime(STAMP)}.parquet"
        write_parquet(changes(before, after, as_of), path)

    def read(self, customer_ids: Sequence[str]) -> pl.DataFrame:
        """Return the changes of these customers' tags, the oldest first."""
        paths = sorted(self.root.glob("*.parquet"))
        if not paths:
            return pl.DataFrame(schema=_SCHEMA)
        wanted = pl.col("customer_id").is_in(list(customer_ids))
        tags = pl.scan_parquet(paths).filter(wanted).collect()
        return tags.sort("as_of", "customer_id", "tag", "change")

    def erase(self, customer_ids: Sequence[str]) -> Tally:
        """Take customers out of the log; return what was there."""
        tally = Tally()
        for path in sorted(self.root.glob("*.parquet")):
            frame = pl.read_parquet(path)
            theirs = pl.col(CUSTOMER).is_in(list(customer_ids))
            if tally.add(frame.filter(theirs).group_by(CUSTOMER).len().rows()):
                write_parquet(frame.filter(~theirs), path)
        return tally
