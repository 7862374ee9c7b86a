"""The clerk page in a real browser, in both languages, over nothing but the public API."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import uvicorn
from tests.serving.conftest import NOW

from nba.serving import Access, Services, create_app

CHROMIUM = ("--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom")
BUDGET = "--virtual-time-budget=8000"  # lets scripts and requests finish
PAGE = Path(__file__).parents[2] / "serving" / "page"


@pytest.fixture
def address(services: Services) -> Iterator[str]:
    with served(services) as where:
        yield where


@contextmanager
def served(services: Services) -> Iterator[str]:
    """Serve the page over `services` without keys, and yield its address."""
    app = create_app(replace(services, access=Access.OPEN, page=PAGE))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def seen(address: str, language: str, profile: Path) -> str:
    """Return the page's text after its scripts have run."""
    done = subprocess.run(
        [
            "chromium",
            *CHROMIUM,
            BUDGET,
            f"--accept-lang={language}",
            f"--user-data-dir={profile}",
            address,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return re.sub(r"<[^>]+>", " ", done.stdout)


@pytest.mark.requires("chromium")
@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en-US", ["Whom to contact today", "Private partner", "runs low", "Not suitable"]),
        ("zh-CN", ["今天联系谁", "私人伙伴", "快用完了", "不合适"]),
    ],
)
def test_the_page_shows_list_and_card(
    address: str, tmp_path: Path, services: Services, language: str, words: list[str]
) -> None:
    text = seen(f"{address}/#k1/c11", language, tmp_path)
    assert [word for word in words if word not in text] == []
    assert "Green tea" in text
    assert "40%" in text  # of the card's timing
    kinds = {row["kind"] for row in services.store.feedback("k1-1")}
    assert kinds == {"shown"}


@pytest.mark.requires("chromium")
@pytest.mark.parametrize(("days", "is_stale"), [(0, False), (3, True), (-1, True)])
def test_a_list_of_another_day_has_a_banner_and_takes_no_sent(
    tmp_path: Path, services: Services, days: int, is_stale: bool
) -> None:
    later = replace(services, clock=lambda: NOW + timedelta(days=days))
    with served(later) as address:
        text = seen(f"{address}/#k1", "en-US", tmp_path)
    assert "Not suitable" in text
    assert ("not of today" in text) == is_stale
    assert (re.search(r"\bSent\b", text) is None) == is_stale


def test_the_page_has_every_text_in_both_languages() -> None:
    source = (PAGE / "texts.js").read_text(encoding="utf-8")
    zh, en = re.split(r"^  en: \{", source, flags=re.M)
    names = [
        set(re.findall(r"(?:^|[{,] ?)\s*([a-z_0-9]+):", part, flags=re.M)) for part in (zh, en)
    ]
    assert names[0] - {"zh"} == names[1] - {"en"}
    used = set()
    for file in ("index.html", "app.js", "view.js"):
        content = (PAGE / file).read_text(encoding="utf-8")
        used |= set(re.findall(r'data-text="(\w+)"|\bt\("(\w+)"\)', content))
    missing = {name for pair in used for name in pair if name} - names[0]
    assert missing == set()


def test_the_page_loads_nothing_from_elsewhere() -> None:
    for path in PAGE.iterdir():
        links = re.findall(r"https?://[^\s\"')]+", path.read_text(encoding="utf-8"))
        assert set(links) <= {"http://www.w3.org/2000/svg"}
