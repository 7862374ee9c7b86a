"""A fortnight of nights of a small demo shop: what clerks get to see over time."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta

import polars as pl
import pytest

from nba.decisions.talking import SAME_TEXT_DAYS
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import Progress
from nba.jobs.worlds import make_world
from nba.settings import Project
from nba.wiring import Wiring

pytestmark = pytest.mark.proof

NIGHTS = 14
#: A code where a text should stand: words joined by underscores, a field, both languages at once.
CODE = re.compile(r"(?<![/\w])[a-z]+_[a-z_]+|[{}]| \| ")


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Every action that was listed on the last `NIGHTS` days of a small shop."""
    root = tmp_path_factory.mktemp("fortnight")
    shop = {"customers": 400, "clerks": 4, "stores": 2, "days": 240, "seed": 1}
    make_world(root / "shop", preset="published", family="capture", describe_it=False, **shop)
    init_project(root / "project", {})
    wiring = Wiring(Project.open(root / "project"))
    quiet = Progress()
    ingest_folder(wiring, root / "shop" / "tables", mapping="", progress=quiet)
    last = wiring.tables.at(None)["transactions"].ts.max().execute()
    end = datetime(last.year, last.month, last.day) + timedelta(days=1)
    days = [end - timedelta(days=back) for back in reversed(range(NIGHTS))]
    for day in days:
        run_nightly(wiring, day, progress=quiet)
    actions = [wiring.plan_store.actions(day.date()).drop("model_versions") for day in days]
    return pl.concat(actions, how="diagonal_relaxed").filter(pl.col("rank").is_not_null())


def test_the_catalogue_gets_used(listed: pl.DataFrame) -> None:
    counts = Counter(listed["action_type"])
    assert len(counts) >= 15, counts


def test_nobody_reads_the_same_sentence_twice(listed: pl.DataFrame) -> None:
    assert NIGHTS <= SAME_TEXT_DAYS
    repeated = listed.group_by("customer_id", "talking_point").len().filter(pl.col("len") > 1)
    assert repeated.is_empty(), repeated.head(3)


def test_no_code_stands_where_a_text_should(listed: pl.DataFrame) -> None:
    texts = set(listed["talking_point"])
    for reasons in listed["reasons"]:
        texts |= {reason[language] for reason in reasons for language in ("zh", "en")}
    assert [text for text in texts if CODE.search(text)] == []
