"""What the clerk page weighs: `python -m tests.page.weights PROJECT`.

Serves a project in open access on a free port, opens the page as a slow phone would, and prints
requests, bytes and the time until the list stands, for a first visit and for the next one.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, sync_playwright
from tests.page.conftest import CHROMIUM, PHONE, running

from nba.serving import Access
from nba.serving.run import services_of
from nba.settings import Project
from nba.wiring import Wiring


@dataclass(frozen=True)
class Profile:
    """A network and a processor: round trip in ms, kilobits per second, slowdown."""

    name: str
    round_trip_ms: float
    kilobits: float
    slowdown: float


#: The first is the profile that Lighthouse simulates for phones; the second a poor network.
PROFILES: Final = (
    Profile("none", 0.0, 0.0, 1.0),
    Profile("slow 4G, processor / 4", 150.0, 1638.4, 4.0),
    Profile("slow 3G, processor / 4", 400.0, 400.0, 4.0),
)


@dataclass(frozen=True)
class Visit:
    """What one visit took."""

    requests: int
    kilobytes: float
    list_seconds: float


def visit(context: BrowserContext, address: str, profile: Profile) -> Visit:
    """Open the page and wait for its list and for what it loads after that."""
    page = context.new_page()
    seen: list[float] = []
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda one: seen.append(one["encodedDataLength"]))
    if profile.kilobits:
        rate = profile.kilobits * 1000 / 8
        session.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": profile.round_trip_ms,
                "downloadThroughput": rate,
                "uploadThroughput": rate,
            },
        )
    session.send("Emulation.setCPUThrottlingRate", {"rate": profile.slowdown})
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.locator(".action").first.wait_for(timeout=120_000)
    took = time.perf_counter() - began
    to_list = list(seen)
    page.close()
    return Visit(len(to_list), sum(to_list) / 1000, took)


def measure(browser: Browser, address: str, profile: Profile) -> tuple[Visit, Visit]:
    """Return a first visit of a new device and the one after it."""
    context = browser.new_context(**PHONE, locale="zh-CN")
    first = visit(context, address, profile)
    # the service worker lays the page by meanwhile
    waiting = context.new_page()
    waiting.goto(address)
    waiting.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    waiting.wait_for_timeout(1500)
    waiting.close()
    again = visit(context, address, profile)
    context.close()
    return first, again


def main(project: str) -> None:
    """Print the table."""
    services = services_of(Wiring(Project.open(Path(project))), Access.OPEN)
    lines: list[Any] = []
    with running(services) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        for profile in PROFILES:
            first, again = measure(browser, address, profile)
            for name, one in (("first", first), ("next", again)):
                lines.append((profile.name, name, one))
        browser.close()
    print("| network | visit | requests until the list | kB | seconds until the list |")
    print("|---|---|---|---|---|")
    for profile_name, name, one in lines:
        print(
            f"| {profile_name} | {name} | {one.requests} | {one.kilobytes:.0f} "
            f"| {one.list_seconds:.1f} |"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
