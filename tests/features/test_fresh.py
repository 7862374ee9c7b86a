"""A slice gives what the whole gives, for every view keyed by customers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from nba.features import VIEWS
from nba.features.fresh import FreshFeatures
from nba.features.tags import load_tags, with_tags

NOW = datetime(2025, 9, 1, 14, 25, 36)


def test_a_slice_equals_the_whole(
    make_tables: Callable[..., Any], to_duckdb: Callable[..., Any], repository: Any
) -> None:
    views = with_tags(VIEWS, load_tags(repository / "features" / "tags.yaml", VIEWS))
    loaded = to_duckdb(make_tables(5))
    chosen = ["c1", "c7", "c20", "nobody"]
    features = FreshFeatures(views)
    for now in (NOW, NOW.replace(hour=23, second=0), NOW + timedelta(days=1)):
        fresh = features.rows(loaded, now, chosen)
        assert len(fresh) == 7
        for name, frame in fresh.items():
            whole = views[name].build(loaded, now).to_polars().sort(views[name].entity_keys)
            expected = whole.filter(pl.col("customer_id").is_in(chosen))
            assert_frame_equal(frame, expected, check_exact=True)
            assert frame.height > 0
