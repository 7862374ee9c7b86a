"""Pictures of the clerk page for the docs: `python -m tests.page.screenshots PROJECT FOLDER`.

Serves a project in open access on a free port and photographs each view of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright
from tests.page.conftest import CHROMIUM, DESKTOP, PHONE, running

from nba.serving import Access
from nba.serving.run import services_of
from nba.settings import Project
from nba.wiring import Wiring

LOCALES = {"zh": "zh-CN", "en": "en-US"}


def shown(page: Page, view: str) -> None:
    """Open a view of the page and wait until it stands."""
    page.locator(f"#tab-{view}").click()
    page.locator("#main .panel, #main .find, #main .empty").first.wait_for()
    page.locator("#main:not([aria-busy])").wait_for()
    page.wait_for_timeout(300)


def card(page: Page) -> None:
    """Open the card of the first customer of the list."""
    page.locator(".action .who").first.click()
    page.locator("#card h2").wait_for()
    page.wait_for_timeout(400)


def offline(page: Page) -> None:
    """Lose the network, and go on."""
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_timeout(800)
    page.context.set_offline(True)
    page.reload()
    page.locator(".action").first.wait_for()
    page.locator(".action .sent").first.click()
    page.wait_for_timeout(300)


def _nothing(page: Page) -> None:
    page.wait_for_timeout(400)


#: What is photographed: name, language, device, scheme, and what is done before.
Shot = tuple[str, str, dict[str, Any], str, Callable[[Page], None]]
SHOTS: tuple[Shot, ...] = (
    ("clerk_list_phone_zh", "zh", PHONE, "light", _nothing),
    ("clerk_list_phone_en", "en", PHONE, "light", _nothing),
    ("clerk_list_phone_dark_zh", "zh", PHONE, "dark", _nothing),
    ("clerk_card_phone_zh", "zh", PHONE, "light", card),
    ("clerk_posts_phone_zh", "zh", PHONE, "light", lambda page: shown(page, "posts")),
    ("clerk_results_phone_zh", "zh", PHONE, "light", lambda page: shown(page, "results")),
    ("clerk_team_phone_zh", "zh", PHONE, "light", lambda page: shown(page, "team")),
    ("clerk_list_desktop_zh", "zh", DESKTOP, "light", card),
    ("clerk_list_desktop_dark_en", "en", DESKTOP, "dark", card),
    ("clerk_team_desktop_en", "en", DESKTOP, "light", lambda page: shown(page, "team")),
    ("clerk_card_phone_en", "en", PHONE, "light", card),
    ("clerk_posts_desktop_en", "en", DESKTOP, "light", lambda page: shown(page, "posts")),
    ("clerk_results_desktop_en", "en", DESKTOP, "light", lambda page: shown(page, "results")),
    # last, since what is pressed without a network is sent later, and stands
    ("clerk_offline_phone_zh", "zh", PHONE, "light", offline),
    ("clerk_offline_desktop_en", "en", DESKTOP, "light", offline),
)


def take(browser: Browser, address: str, shot: Shot, folder: Path) -> None:
    """Photograph one view."""
    name, language, device, scheme, before = shot
    context = browser.new_context(**device, locale=LOCALES[language], color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    page.locator(".action").first.wait_for(timeout=60_000)
    before(page)
    page.screenshot(path=folder / f"{name}.png")
    context.close()
    print(folder / f"{name}.png")


def main(project: str, folder: str, *names: str) -> None:
    """Take all pictures, or those that are named."""
    services = services_of(Wiring(Project.open(Path(project))), Access.OPEN)
    with running(services) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for shot in SHOTS:
            if not names or shot[0] in names:
                take(browser, address, shot, Path(folder))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
