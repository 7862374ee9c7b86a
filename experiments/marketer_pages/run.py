"""`python -m experiments marketer_pages`: a shop with a quarter of lists, photographed."""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from experiments.report_world.play import make_project, play_quarter
from experiments.worlds.run import SCRATCH
from nba.errors import UsageError
from nba.jobs.impact.run import write_impact_report
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import silent
from nba.settings import ArmShares, Project
from nba.simulation.config import WorldConfig
from nba.stores.night_traces import EXPERIMENT as NIGHTS
from nba.wiring import Wiring

IMAGES: Final = Path(__file__).resolve().parents[2] / "docs" / "images"
SIZE: Final = {"width": 1500, "height": 1100}
#: So long a page of MLflow may take on a busy machine.
PATIENCE_MS: Final = 90_000
START: Final = dt.date(2025, 1, 1)
SHARES: Final = ArmShares(holdout=0.3)


def take_pictures(
    *, project: str = "", images: str = str(IMAGES), customers: int = 400, days: int = 91
) -> dict[str, Any]:
    """Photograph MLflow and the report of a shop.

    Parameters
    ----------
    project : str
        A project that has them; empty: one is made, with a quarter in which a simple list makes
        the contacts, two nights, and a design of the timing model that its trial refuses.
    images : str
        The folder of the pictures.
    customers, days : int
        Size of the shop that is made, and of the quarter.

    Returns
    -------
    dict
        `pictures`: their names.
    """
    scratch = Path(tempfile.mkdtemp(prefix="nba-pictures-", dir=SCRATCH))
    try:
        place = Path(project) if project else _shop(scratch / "shop", customers, days)
        wiring = Wiring(Project.open(place))
        report = write_impact_report(wiring, None, None, out=scratch / "report")
        pictures = _photographed(wiring, report.folder, Path(images))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return {"pictures": pictures}


def _shop(folder: Path, customers: int, days: int) -> Path:
    """Make a shop with a quarter of lists, a fitted model and a refused one."""
    config = WorldConfig(customers=customers, clerks=4, stores=2, seed=3, start=START)
    quarter = play_quarter(config, SHARES, history=120, days=days)
    wiring = make_project(quarter, folder, SHARES)
    night = dt.datetime.combine(quarter.last + dt.timedelta(days=1), dt.time())
    run_nightly(wiring, night, progress=silent)
    model = folder / "models" / "timing.yaml"
    content = yaml.safe_load(model.read_text(encoding="utf-8"))
    content |= {"kind": "recency_gap", "parameters": {"cutoff_step_days": 45}}
    content["gates"] = [{"metric": "auc", "margin": 0.0, "baseline": "champion"}]
    model.write_text(yaml.safe_dump(content), encoding="utf-8")
    again = Wiring(Project.open(folder))
    run_nightly(again, night, progress=silent, force=True, from_step="train")
    return folder


def _photographed(wiring: Wiring, report: Path, images: Path) -> list[str]:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise UsageError("there is no browser", expected="chromium on the path")
    images.mkdir(parents=True, exist_ok=True)
    taken = []
    with _mlflow(wiring) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.set_default_timeout(PATIENCE_MS)
        for name, (url, wanted) in _views(wiring, address, report).items():
            page.goto(url)
            page.get_by_text(wanted).first.wait_for()
            page.wait_for_timeout(1500)
            page.get_by_text(wanted).first.scroll_into_view_if_needed()
            page.wait_for_timeout(500)
            page.screenshot(path=images / f"{name}.png")
            taken.append(f"{name}.png")
            print(name, flush=True)
        browser.close()
    return taken


def _views(wiring: Wiring, address: str, report: Path) -> Mapping[str, tuple[str, str]]:
    """Return what is photographed: name, address, and a text that stands there."""
    from mlflow import MlflowClient
    from mlflow.tracing.client import TracingClient

    client = MlflowClient(wiring.project.tracking_uri)
    versions = sorted(
        client.search_model_versions("name = 'timing'"), key=lambda one: int(one.version)
    )
    last = versions[-1]
    trained = client.get_run(str(last.run_id)).info.experiment_id
    runs = [one.run_id for one in versions[-2:]]
    chosen = "%5B" + "%2C".join(f"%22{run}%22" for run in runs) + "%5D"
    compared = f"compare-runs?runs={chosen}&experiments=%5B%22{trained}%22%5D"
    run = f"{address}/#/experiments/{trained}/runs/{last.run_id}"
    nights = client.get_experiment_by_name(NIGHTS)
    assert nights is not None
    traced = f"{address}/#/experiments/{nights.experiment_id}/traces"
    (night, *_) = TracingClient(wiring.project.tracking_uri).search_traces(
        locations=[nights.experiment_id]
    )
    return {
        "mlflow_runs": (f"{address}/#/experiments/{trained}/runs", "timing by"),
        "mlflow_run": (run, "What it answers"),
        "mlflow_run_plot": (f"{run}/artifacts/calibration.png", "calibration.png"),
        "mlflow_compare": (f"{address}/#/{compared}", "Comparing"),
        "mlflow_evaluation": (
            f"{run}/artifacts/evaluation/by_segment.json",
            "all customers",
        ),
        "mlflow_night": (f"{traced}?selectedEvaluationId={night.info.trace_id}", "publish"),
        "mlflow_registry": (f"{address}/#/models/timing", "challenger"),
        "report_en": ((report / "report.en.html").as_uri(), "What contacting earned"),
        "report_zh": ((report / "report.zh.html").as_uri(), "主动联系带来了多少收益"),
    }


@contextmanager
def _mlflow(wiring: Wiring) -> Iterator[str]:
    """Serve the project's MLflow on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    store = ["--backend-store-uri", wiring.project.tracking_uri, "--workers", "1"]
    with subprocess.Popen(
        [*call, *store], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as served:
        try:
            _wait_for(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            served.terminate()


def _wait_for(url: str, seconds: float = 120.0) -> None:
    ends = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url):
                return
        except (URLError, OSError):
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)
