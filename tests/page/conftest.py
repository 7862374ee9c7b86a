"""The clerk page in a real browser: a service over seven actions, and a clerk who signs in."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from tests.serving.conftest import DAY, NOW, PLAN, Shop, actions_frame, books_of

from nba.serving import Services, create_app
from nba.serving.sidebar import SidebarTokens
from nba.settings import ClerkPage
from nba.stores.access import Scope
from nba.stores.operational import OperationalStore

PAGE = Path(__file__).parents[2] / "serving" / "page"
CHROMIUM = shutil.which("chromium")
#: Milliseconds that a step may take on a busy machine.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}


def seven_actions() -> pl.DataFrame:
    """Return a list of seven for the clerk k1, beside those of the others."""
    base = actions_frame()
    first = base.row(0, named=True)
    start = datetime(DAY.year, DAY.month, DAY.day)
    rows = [
        {
            **first,
            "action_id": f"k1-{rank}",
            "rank": rank,
            "customer_id": f"c1{rank}",
            "mode": ("private_partner", "shopping_assistant", "topic_expert")[rank % 3],
            "contact_from": start + timedelta(hours=10 + rank % 3),
            "contact_to": start + timedelta(hours=12 + rank % 3),
            "talking_point": f"您好，第{rank}位",
            "minutes": 2.0,
            "expires_at": start + timedelta(days=1),
        }
        for rank in range(1, 8)
    ]
    others = base.filter(pl.col("clerk_id") != "k1")
    return pl.concat([pl.DataFrame(rows, schema=base.schema), others])


@dataclass
class Served:
    """A running service: where it is, its store, and a clock that can be moved."""

    address: str
    store: OperationalStore
    shop: Shop
    server: uvicorn.Server
    moment: list[datetime] = field(default_factory=lambda: [NOW])

    def key(self, subject: str = "k1", scope: Scope = Scope.CLERK) -> str:
        """Return a new key."""
        return self.store.create_key(scope, subject=subject).token

    def kinds(self, action_id: str) -> list[str]:
        """Return the feedback on an action."""
        return [str(row["kind"]) for row in self.store.feedback(action_id)]

    def told(self, action_id: str, kind: str) -> int:
        """Return how often a kind of feedback came in, waiting a little for the first."""
        for _ in range(400):
            found = self.kinds(action_id).count(kind)
            if found:
                return found
            time.sleep(0.05)
        return 0


@contextmanager
def running(services: Services) -> Iterator[tuple[str, uvicorn.Server]]:
    """Serve an app on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(create_app(services), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", server
    server.should_exit = True
    thread.join()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A service with keys over the shop in memory."""
    moment = [NOW]
    store = OperationalStore(f"sqlite:///{tmp_path / 'operations.db'}", clock=lambda: moment[0])
    store.publish(PLAN, seven_actions())
    shop = Shop()
    services = Services(
        store,
        shop,
        clock=lambda: moment[0],
        page=PAGE,
        books=books_of(tmp_path),
        sidebar=SidebarTokens(b"secret", lambda: moment[0], timedelta(minutes=15)),
        clerk_page=ClerkPage(frame_ancestors=("http://localhost:*",)),
        tag_names={"loyal": {"zh": "老客", "en": "Loyal"}, "vip": {"zh": "贵宾", "en": "VIP"}},
    )
    with running(services) as (address, server):
        yield Served(address, store, shop, server, moment)
    store.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Return a maker of browser contexts."""
    opened: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        given = {"locale": "en-US", **PHONE, **options}
        opened.append(browser.new_context(**given))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def signed_in(served: Served, context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    """Return a maker of pages of a clerk who came by a link."""

    def make(subject: str = "k1", scope: Scope = Scope.CLERK, **options: Any) -> Page:
        page = context(**options).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{served.address}/#key={served.key(subject, scope)}")
        page.locator("article, .empty").first.wait_for()
        return page

    return make
