"""One log line per step and per request, with an id, in both formats, and no personal data."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient

from nba.errors import ConfigError
from nba.jobs.progress import Bars, Progress, shown, silent
from nba.logs import configure
from nba.memory import begin_peak, peak_mb
from nba.serving.middleware import REQUEST_ID, Metrics, Observe


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leave logging as it was found."""
    yield
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return what was logged as JSON."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_step_is_one_line_with_the_runs_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    progress = Progress()
    with progress.step("score") as current:
        current.report.update(rows=12, manifest={"not": "shown"})
    progress("nothing to do")
    step, said = lines(capsys)
    assert (step["event"], step["step"], step["rows"]) == ("step", "score", 12)
    assert step["run"] == said["run"] == progress.run_id
    assert "manifest" not in step
    assert current.report["seconds"] >= 0
    assert step["peak_mb"] == current.report["peak_mb"] > 10


def test_the_peak_of_memory_is_that_of_the_step() -> None:
    progress = Progress()
    with progress.step("large") as large:
        bytearray(b"x") * 200_000_000
    with progress.step("small") as small:
        pass
    assert large.report["peak_mb"] > 200
    if _can_reset_the_peak():
        assert small.report["peak_mb"] < large.report["peak_mb"] - 100


def test_seconds_of_processor_are_those_of_the_work_and_of_its_children() -> None:
    progress = Progress()
    with progress.step("waits") as waits:
        time.sleep(0.3)
    with progress.step("works") as works:
        began = time.process_time()
        while time.process_time() < began + 0.3:
            pass
    with progress.step("has a child") as child:
        busy = "import time\nwhile time.process_time() < 0.3: pass"
        subprocess.run([sys.executable, "-c", busy], check=True)
    assert waits.report["cpu_seconds"] < 0.2 <= 0.25 < works.report["cpu_seconds"]
    assert child.report["cpu_seconds"] > 0.25


def _can_reset_the_peak() -> bool:
    """Whether this kernel lets a process count its peak anew; containers may forbid it."""
    bytearray(b"x") * 200_000_000
    before = peak_mb()
    begin_peak()
    return peak_mb() <= before - 100


def test_a_step_that_fails_says_which_and_how(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")

    def fail() -> None:
        with Progress().step("plan"):
            raise ValueError("clerk Li Wei")

    with pytest.raises(ValueError, match="Li Wei"):
        fail()
    (line,) = lines(capsys)
    assert (line["event"], line["error"], line["level"]) == ("step failed", "ValueError", "error")
    assert "Li Wei" not in json.dumps(line)


def test_text_is_for_people_and_levels_hold(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    with Progress().step("plan") as current:
        current.report["actions"] = 3
    measured = r"seconds=[\d.]+ cpu_seconds=[\d.]+ peak_mb=\d+ rows_per_second=\d+"
    line = rf"\S+Z plan actions=3 {measured} run=\w{{16}}\n"
    assert re.fullmatch(line, capsys.readouterr().err)
    configure("warning", "text")
    with Progress().step("plan"):
        pass
    with silent.step("plan"):
        pass
    silent("nothing")
    assert capsys.readouterr().err == ""


def test_the_environment_goes_before_the_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NBA_LOG_FORMAT", "json")
    configure("info", "text")
    with Progress().step("plan"):
        pass
    assert lines(capsys)
    monkeypatch.setenv("NBA_LOG_LEVEL", "loud")
    with pytest.raises(ConfigError, match="loud"):
        configure()


class Terminal(io.StringIO):
    """A standard error that says that it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_a_terminal_gets_a_bar_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = shown()
    assert isinstance(progress, Bars)
    with progress.step("features") as current:
        current.report["views"] = 9
    assert "features" in terminal.getvalue()
    assert "views 9" in terminal.getvalue()
    assert "run=" not in terminal.getvalue()
    configure("info", "json")
    assert not isinstance(shown(), Bars)


def app() -> FastAPI:
    """Return a service with one route that answers and one that breaks."""
    service = FastAPI()
    service.add_middleware(Observe, metrics=Metrics())

    @service.get("/v1/customers/{customer_id}")
    def card(customer_id: str) -> str:
        return customer_id

    @service.get("/broken/{customer_id}")
    def broken(customer_id: str) -> str:
        raise RuntimeError(customer_id)

    return service


def test_a_request_is_one_line_without_ids_of_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    client = TestClient(app(), raise_server_exceptions=False)
    answer = client.get("/v1/customers/c-secret", params={"phone": "13800000000"})
    client.get("/broken/c-secret")
    fine, failed = lines(capsys)
    assert fine["request"] == answer.headers[REQUEST_ID]
    assert (fine["route"], fine["status"]) == ("/v1/customers/{customer_id}", 200)
    assert (failed["event"], failed["error"]) == ("request failed", "RuntimeError")
    assert "c-secret" not in json.dumps([fine, failed])
    assert "13800000000" not in json.dumps([fine, failed])
