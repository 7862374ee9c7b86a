"""What arrives in the landing folder is loaded by the nightly job, once, and left where it is."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from nba.data.report import LoadRefusedError
from nba.errors import ConfigError, UsageError
from nba.jobs.demo import run_demo
from nba.jobs.ingest import ingest_folder
from nba.jobs.init import init_project
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import Progress, silent
from nba.settings import Project
from nba.wiring import Wiring

HEAD = "order_id,customer_id,product_id,ts,quantity,unit_price\n"
DAY = datetime(2026, 3, 2)


@pytest.fixture
def wiring(tmp_path: Path) -> Wiring:
    init_project(tmp_path / "shop", {"landing": {"folder": "landing"}})
    (tmp_path / "shop" / "landing").mkdir()
    return Wiring(Project.open(tmp_path / "shop"))


def arrive(wiring: Wiring, name: str, *lines: str) -> Path:
    assert wiring.project.landing is not None
    path = wiring.project.landing / name
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def night(wiring: Wiring) -> set[str]:
    """Walk the job's first step, and return the orders that the lake then has."""
    run_nightly(wiring, DAY, progress=silent, until_step="ingest")
    if not wiring.lake.version:
        return set()
    return set(wiring.lake.polars("transactions")["order_id"].to_list())


def test_what_landed_is_loaded_once_and_stays_where_it_is(wiring: Wiring) -> None:
    path = arrive(wiring, "transactions.csv", "o1,c1,p1,2026-03-01,1,5")
    assert night(wiring) == {"o1"}
    version = wiring.lake.version
    assert night(wiring) == {"o1"}
    assert wiring.lake.version == version
    assert path.exists()
    arrive(wiring, "transactions.csv", "o2,c1,p1,2026-03-01,1,5")
    assert night(wiring) == {"o1", "o2"}


def test_what_a_load_warns_of_stands_in_the_night_too(wiring: Wiring) -> None:
    arrive(wiring, "transactions.csv", "o1,c1,p1,2026-03-01,1,5", "o2,,p1,2026-03-01,x,5")
    said: list[str] = []

    class Kept(Progress):
        def __call__(self, line: str) -> None:
            said.append(line)

    run_nightly(wiring, DAY, progress=Kept(), until_step="ingest")
    assert any("1 rows quarantined, quantity: type" in line for line in said)


def test_first_sales_say_in_which_currency_their_mapping_is(tmp_path: Path) -> None:
    init_project(tmp_path / "shop", {})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "till.csv").write_text(HEAD + "o1,c1,p1,2026-03-01,1,5\n")
    mapping = tmp_path / "pos.yaml"
    for currency in ("GBP", "USD"):
        mapping.write_text(
            f"project: {{currency: {currency}}}\ntables: {{transactions: {{source: till}}}}\n"
        )
        project = Project.open(tmp_path / "shop")
        report = ingest_folder(Wiring(project), tmp_path / "in", mapping=str(mapping))
        assert Project.open(tmp_path / "shop").settings.currency == "GBP"
        told = "nba.yaml: currency is now GBP, it was CNY"
        assert (told in report.recognised) is (currency == "GBP")
        warned = [check.message for check in report.checks if check.name == "currency"]
        assert len(warned) == (currency == "USD")
    assert "says USD, the project's sales are in GBP" in warned[0]


def test_the_generated_shop_and_own_tables_are_not_mixed(tmp_path: Path) -> None:
    own, generated = tmp_path / "own", tmp_path / "generated"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "transactions.csv").write_text(HEAD + "o1,c1,p1,2026-03-01,1,5\n")
    for folder in (own, generated):
        ingest_folder(Wiring(init_project(folder, {})), tmp_path / "in")
    (generated / "shop" / "tables").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds other tables"):
        run_demo(own, locale="en")
    with pytest.raises(UsageError, match="holds the generated shop"):
        run_demo(generated, data=tmp_path / "in", locale="en")


def test_a_file_under_a_hidden_name_waits_until_it_is_whole(wiring: Wiring) -> None:
    arrive(wiring, "transactions.csv", "o1,c1,p1,2026-03-01,1,5")
    night(wiring)
    part = arrive(wiring, ".transactions.csv.part", "o3,c1,p1,2026-03-01")
    assert night(wiring) == {"o1"}
    part.write_text(HEAD + "o3,c1,p1,2026-03-01,1,5\n", encoding="utf-8")
    part.replace(part.with_name("transactions.csv"))
    assert night(wiring) == {"o1", "o3"}


def test_what_is_refused_fails_the_night_until_it_is_mended(wiring: Wiring) -> None:
    path = arrive(wiring, "transactions.csv", "o1,c1,p1,2026-03-01,1,5")
    text = path.read_text()
    path.write_text(text.replace("product_id", "sku"), encoding="utf-8")
    for _ in range(2):
        with pytest.raises(LoadRefusedError, match="product_id"):
            night(wiring)
    path.write_text(text, encoding="utf-8")
    assert night(wiring) == {"o1"}


def test_a_mapping_reads_what_landed(tmp_path: Path) -> None:
    project = init_project(
        tmp_path / "shop", {"landing": {"folder": str(tmp_path / "in"), "mapping": "pos.yaml"}}
    )
    (project.root / "pos.yaml").write_text(
        "tables: {transactions: {source: till, rename: {order_id: bon, customer_id: card, "
        "product_id: sku, ts: at, quantity: n, unit_price: price}}}\n",
        encoding="utf-8",
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "till.csv").write_text(
        "bon,card,sku,at,n,price\no1,c1,p1,2026-03-01,1,5\n", encoding="utf-8"
    )
    assert night(Wiring(Project.open(project.root))) == {"o1"}


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    init_project(tmp_path / "shop", {"landing": {"folder": "nowhere"}})
    with pytest.raises(ConfigError, match="landing folder"):
        night(Wiring(Project.open(tmp_path / "shop")))


def test_settings_say_what_files_that_landed_do_not_show(tmp_path: Path) -> None:
    landing = {
        "folder": str(tmp_path / "in"),
        "encoding": "windows-1252",
        "dates": "month_first",
    }
    project = init_project(tmp_path / "shop", {"landing": landing})
    (tmp_path / "in").mkdir()
    line = "thé,c1,p1,03/04/2025 10:00,1,5\n"
    (tmp_path / "in" / "transactions.csv").write_bytes((HEAD + line).encode("windows-1252"))
    wiring = Wiring(Project.open(project.root))
    assert night(wiring) == {"thé"}
    (ts,) = wiring.lake.polars("transactions")["ts"]
    assert ts.month == 3
