"""The affinity comparison on a folder of tables that it has never seen."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from tests.models.affinity import shop

from nba.errors import InputRefusedError
from nba.jobs.affinity_report import table, write_report
from nba.jobs.experiment_spec import run_experiment
from nba.jobs.experiments import EXPERIMENTS
from nba.jobs.own_tables import OwnTables, affinity_of
from nba.models.affinity.config import TwoStageConfig

SMALL = TwoStageConfig(
    cutoff_days=(30,),
    horizon=30,
    trees=10,
    min_data_in_leaf=5,
    als_factors=4,
    als_iterations=2,
    threads=1,
)


def folder(path: Path) -> Path:
    bought = shop.purchases(customers=60)
    lines = bought.with_row_index("order_id").select(
        pl.col("order_id").cast(pl.String),
        "customer_id",
        "product_id",
        pl.col("ts").dt.to_string("%Y-%m-%d %H:%M:%S"),
        pl.col("quantity").cast(pl.Int64),
        (pl.col("amount") / pl.col("quantity")).alias("unit_price"),
    )
    lines.write_csv(path / "transactions.csv")
    shop.products(new=0).select("product_id", "name", "category").write_csv(path / "products.csv")
    return path


def run(path: Path, cutoff: datetime) -> dict:
    tables = OwnTables(path, None, "Asia/Shanghai", datetime(2026, 1, 2, tzinfo=UTC))
    return affinity_of(tables, cutoff, config=SMALL, horizon=30)


def test_any_tables_are_compared_and_reported(tmp_path: Path) -> None:
    source = tmp_path / "tables"
    source.mkdir()
    result = run(folder(source), datetime(2025, 12, 1))
    report = result["cutoffs"]["2025-12-01"]
    assert report["customers"] > 30
    methods = report["methods"]
    assert methods["two_stage"]["recall@10"][0] > methods["popular"]["recall@10"][0]
    assert {"tifu_knn", "als", "item_to_item", "personal_filled"} <= set(methods)
    out = tmp_path / "out"
    out.mkdir()
    write_report(result, out)
    assert json.loads((out / "result.json").read_text())["seed"] == 0
    assert "two_stage" in table(methods)
    assert (out / "plot.png").stat().st_size > 1000


def test_a_cutoff_outside_the_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match="nobody"):
        run(folder(tmp_path), datetime(2024, 1, 1))


def test_transactions_without_products_are_refused_with_a_next_step(tmp_path: Path) -> None:
    source = folder(tmp_path)
    (source / "products.csv").unlink()
    lines = pl.read_csv(source / "transactions.csv").with_columns(product_id=pl.lit("cd"))
    lines.write_csv(source / "transactions.csv")
    with pytest.raises(InputRefusedError, match="no products to choose from") as caught:
        run(source, datetime(2025, 12, 1))
    assert "product_id" in str(caught.value)


def test_the_command_runs_on_any_folder_in_its_time_zone(tmp_path: Path) -> None:
    source = tmp_path / "tables"
    source.mkdir()
    given = {"data": folder(source), "cutoff": "2025-11-15", "time_zone": "Europe/London"}
    text = run_experiment(EXPERIMENTS["affinity"], given, tmp_path / "out")
    assert "two_stage" in text
    page = (tmp_path / "out" / "table.md").read_text()
    assert "coverage@10" in page
    assert "2025-11-15" in page


def test_a_page_says_which_model_to_use_and_the_time_limit_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "tables"
    source.mkdir()
    given = {"data": folder(source), "cutoff": "2025-12-01", "minutes": 0.0}
    out = tmp_path / "out"
    text = run_experiment(EXPERIMENTS["affinity"], given, out)
    said = capsys.readouterr().err
    assert "fitting two_stage" in said
    assert "left out, the time is up: tifu_knn" in said
    assert "decayed_counts" in text
    assert "tifu_knn" not in text
    page = (out / "README.md").read_text()
    assert page.rstrip().splitlines()[-1].startswith("**Use `kind: ")
