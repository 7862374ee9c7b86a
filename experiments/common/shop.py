"""A project with a generated shop, and what a comparison of its views says."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from experiments.common.agreement import Agreement
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.worlds import make_world
from nba.settings import Project
from nba.wiring import Wiring

#: Days that a shop lasts.
DAYS: Final = 200


@contextmanager
def generated_shop(customers: int, seed: int, days: int) -> Iterator[tuple[Wiring, datetime]]:
    """Give a project with a generated shop, and the day after its last sale."""
    with tempfile.TemporaryDirectory(prefix="nba-bench-") as temporary:
        root = Path(temporary)
        make_world(
            root / "shop", preset="published", family="capture", customers=customers, clerks=6,
            stores=3, days=days, seed=seed, describe_it=False,
        )  # fmt: skip
        init_project(root / "project", {})
        wiring = Wiring(Project.open(root / "project"))
        ingest_folder(wiring, root / "shop" / "tables")
        last = wiring.tables.at(None)["transactions"].ts.max().execute()
        day = datetime(last.year, last.month, last.day) + timedelta(days=1)
        yield wiring, day


def over_views(agreements: list[Agreement]) -> dict[str, Any]:
    """Return the largest difference, the unequal values, and the same by view."""
    return {
        "values": sum(item.values for item in agreements),
        "largest_difference": max(item.largest_difference for item in agreements),
        "unequal": sum(sum(item.unequal.values()) for item in agreements),
        "views": {item.view: item for item in agreements},
    }
