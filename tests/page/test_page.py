"""A clerk's day in a browser: the list worked through, the card, the search, without a network."""

from __future__ import annotations

import html
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect
from tests.page.conftest import DESKTOP, PAGE, Served

from nba.schema.words import TagSource
from nba.stores.access import Scope
from nba.stores.people import Tag

pytestmark = pytest.mark.requires("chromium")
SignedIn = Callable[..., Page]
Context = Callable[..., BrowserContext]


def until(holds: Callable[[], bool]) -> bool:
    """Wait a little for something that the service is about to learn."""
    for _ in range(400):
        if holds():
            return True
        time.sleep(0.05)
    return False


def choose(page: Page, action_id: str, menu: str, choice: str) -> None:
    """Open a menu of an action and take a choice."""
    item = page.locator(f'[data-action="{action_id}"]')
    item.get_by_role("button", name=menu, exact=True).click()
    item.get_by_role("button", name=choice, exact=True).click()


def test_a_wrong_key_is_told_and_a_right_one_is_remembered(
    served: Served, context: Context
) -> None:
    page = context().new_page()
    page.goto(served.address)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert not page.locator("#sign-in-error").is_visible()
    page.get_by_label("Key").fill("nonsense")
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_role("alert").first).to_contain_text("unknown, expired or revoked")
    page.get_by_label("Key").fill(served.key())
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("article")).to_have_count(7)
    page.reload()
    expect(page.locator("article")).to_have_count(7)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    kept = page.evaluate(
        """async () => (await new Promise((done) => {
            const open = indexedDB.open("nba", 1);
            open.onsuccess = () => {
                const all = open.result.transaction("kept").objectStore("kept").getAllKeys();
                all.onsuccess = () => done(all.result);
            };
        }))"""
    )
    assert kept == []  # signed out: nothing stays on the device


def test_a_list_of_seven_is_worked_through(served: Served, signed_in: SignedIn) -> None:
    page = signed_in()
    first = page.locator('[data-action="k1-1"]')
    expect(first).to_contain_text("王1丽")
    expect(first).to_contain_text("Green tea")
    expect(first).to_contain_text("¥30")
    expect(first).to_contain_text("4 in stock")
    expect(first).to_contain_text("runs low")
    expect(page.locator(".progress p")).to_have_text("0 of 7 done · about 14 min left")
    first.get_by_role("button", name="Sent", exact=True).click()
    expect(page.locator("article")).to_have_count(6)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("article")).to_have_count(7)
    choose(page, "k1-2", "Skip", "Out of stock")
    choose(page, "k1-3", "Skip", "Not suitable for this customer")
    choose(page, "k1-4", "Not now", "Later today")
    choose(page, "k1-5", "Not now", "In a week")
    page.locator('[data-action="k1-6"]').get_by_role("button", name="Sent", exact=True).click()
    expect(page.locator(".progress p")).to_have_text("3 of 7 done · about 4 min left")
    assert served.kinds("k1-6") == ["shown"]  # ten seconds to undo
    page.evaluate("dispatchEvent(new Event('pagehide'))")  # leaving sends at once
    assert served.told("k1-6", "sent") == 1
    assert served.told("k1-2", "skipped") == 1
    assert served.told("k1-3", "dismissed") == 1
    assert "sent" not in served.kinds("k1-1")
    reason = [row["reason"] for row in served.store.feedback("k1-2") if row["reason"]]
    assert reason == ["out_of_stock"]
    page.reload()
    expect(page.locator("article")).to_have_count(2)
    page.get_by_text("Dealt with today (5)").click()
    expect(page.locator(".closed")).to_contain_text("Out of stock")
    served.moment[0] += timedelta(hours=4)
    page.reload()
    expect(page.locator("article")).to_have_count(3)  # later today has come
    held = dict(served.store.snoozed(served.moment[0]).iter_rows())
    assert list(held) == ["c15"]


def test_the_card_is_a_sheet_on_a_phone_and_beside_the_list_on_a_desktop(
    served: Served, signed_in: SignedIn
) -> None:
    phone = signed_in()
    phone.locator('[data-action="k1-7"] .who').click()
    card = phone.get_by_role("dialog", name="王7丽")
    expect(card).to_be_in_viewport()
    assert phone.evaluate("document.activeElement.className") == "close"
    expect(card).to_contain_text("phone …0017")
    expect(card).to_contain_text("40%")
    card.get_by_label("new tag").fill("tea lover")
    card.get_by_role("button", name="Add").click()
    expect(phone.locator("#card")).to_contain_text("tea lover")
    phone.get_by_label("Note").fill("prefers afternoons")
    phone.get_by_role("button", name="Save").click()
    now = served.moment[0] + timedelta(seconds=1)

    def values() -> dict[str, str | None]:
        return {tag.tag: tag.value for tag in served.store.tags("c17", now)}

    assert until(lambda: values() == {"tea lover": None, "note": "prefers afternoons"})
    phone.keyboard.press("Escape")
    expect(phone.locator("#card")).to_be_hidden()
    desktop = signed_in(**{**DESKTOP, "is_mobile": False, "has_touch": False})
    desktop.locator('[data-action="k1-7"] .who').click()
    expect(desktop.locator("#card")).to_contain_text("王7丽")
    list_box = desktop.locator("#main").bounding_box()
    card_box = desktop.locator("#card").bounding_box()
    assert list_box is not None
    assert card_box is not None
    assert card_box["x"] >= list_box["x"] + list_box["width"]
    expect(desktop.locator("#card")).to_be_in_viewport()


def test_search_finds_whoever_walks_in(signed_in: SignedIn) -> None:
    page = signed_in()
    page.get_by_role("button", name="Find").click()
    field = page.get_by_role("searchbox")
    for text, count in (("王3", 1), ("0018", 1), ("Loyal", 8), ("nobody", 0)):
        field.fill(text)
        expect(page.locator(".people li")).to_have_count(count)
    field.fill("王8丽")
    page.locator(".person").click()
    expect(page.locator("#card h2")).to_have_text("王8丽")
    expect(page.locator("#card")).to_contain_text("What you can do now")


def test_a_post_is_done_once_and_leaves_the_list_alone(served: Served, signed_in: SignedIn) -> None:
    page = signed_in()
    page.get_by_role("button", name="Posts").click()
    post = page.locator('[data-post="moments:k1"]')
    expect(post).to_contain_text("12:00–14:00 · reaches about 2")
    post.get_by_role("button", name="Posted").click()
    expect(post).to_contain_text("Posted")
    other = page.locator('[data-post="group:g1"]')
    other.get_by_role("button", name="Skip").click()
    other.get_by_role("button", name="Bad moment").click()
    expect(other).to_contain_text("Skipped")
    page.evaluate("dispatchEvent(new Event('pagehide'))")
    assert served.told("post:2026-03-02:moments:k1", "sent") == 1
    assert served.told("post:2026-03-02:group:g1", "skipped") == 1
    contacts = served.store.new_events()["interactions"]
    assert sorted(contacts["customer_id"]) == ["c11", "c12"]
    page.get_by_role("button", name="Today").click()
    expect(page.locator("article")).to_have_count(7)  # a post is no talk with anybody


def test_results_come_with_an_interval_or_not_at_all(signed_in: SignedIn) -> None:
    page = signed_in()
    page.get_by_role("button", name="Results").click()
    expect(page.locator("main")).to_contain_text("Too few customers were left alone")
    assert page.get_by_role("button", name="Team").count() == 0


def test_a_manager_accepts_a_hand_over(served: Served, signed_in: SignedIn) -> None:
    page = signed_in("s1", Scope.STORE)
    page.get_by_role("button", name="Team").click()
    expect(page.locator("main")).to_contain_text("nobody is ranked by sales")
    row = page.locator(".handover")
    expect(row).to_contain_text("王8丽")
    row.get_by_label("Give to 王8丽").select_option("k1")
    row.get_by_role("button", name="Accept").click()
    expect(row).to_contain_text("handed over")
    friends = served.store.new_events()["friendships"]
    assert friends.select("customer_id", "clerk_id").rows() == [("c18", "k1")]


def test_ten_actions_without_a_network_arrive_once_with_their_time(
    served: Served, signed_in: SignedIn
) -> None:
    page = signed_in()
    page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
    page.wait_for_timeout(300)
    page.context.set_offline(True)
    page.reload()
    expect(page.locator("article")).to_have_count(7)
    expect(page.locator("#online")).to_contain_text("Offline")
    page.locator('[data-action="k1-1"] .who').click()
    expect(page.locator("#card h2")).to_have_text("王1丽")  # laid by beforehand
    page.keyboard.press("Escape")
    for rank in range(1, 6):
        item = page.locator(f'[data-action="k1-{rank}"]')
        item.get_by_role("button", name="Sent", exact=True).click()
        if rank < 4:
            page.get_by_role("button", name="Undo").click()
            item.get_by_role("button", name="Sent", exact=True).click()
    choose(page, "k1-6", "Skip", "Just talked")
    choose(page, "k1-7", "Not now", "Tomorrow")
    page.wait_for_timeout(300)  # what is kept is written beside what is seen
    page.reload()  # what was done offline survives
    expect(page.locator("article")).to_have_count(0)
    served.moment[0] += timedelta(hours=2)
    page.context.set_offline(False)
    expect(page.locator("#online")).to_have_text("")
    for rank in range(1, 6):
        assert served.told(f"k1-{rank}", "sent") == 1
    assert served.told("k1-6", "skipped") == 1
    assert served.told("k1-7", "snoozed") == 1
    times = [row["ts"] for row in served.store.feedback("k1-1") if row["kind"] == "sent"]
    assert times[0] < served.moment[0] - timedelta(hours=1)  # when it happened
    page.evaluate("dispatchEvent(new Event('online'))")
    page.reload()
    assert served.kinds("k1-1").count("sent") == 1


def test_the_page_asks_again_where_nobody_says_that_the_network_is_back(
    served: Served, signed_in: SignedIn
) -> None:
    page = signed_in()
    expect(page.locator("article")).to_have_count(7)
    page.context.route("**/v1/**", lambda route: route.abort())
    page.get_by_role("button", name="Results").click()
    expect(page.locator("#online")).to_contain_text("Offline")
    page.context.unroute("**/v1/**")
    expect(page.locator("#online")).to_have_text("")


def test_a_colleagues_list_is_read_without_a_trace(served: Served, signed_in: SignedIn) -> None:
    page = signed_in("s1", Scope.STORE)
    page.get_by_label("Clerk").select_option("k1")
    expect(page.locator("article")).to_have_count(7)
    expect(page.locator(".banner")).to_contain_text("nothing is recorded")
    assert page.get_by_role("button", name="Sent", exact=True).count() == 0
    page.locator('[data-action="k1-1"] .who').click()
    expect(page.locator("#card h2")).to_have_text("王1丽")
    page.wait_for_timeout(300)
    assert served.kinds("k1-1") == []


def test_a_sidebar_shows_one_customer_by_the_id_of_the_chat_platform(
    served: Served, context: Context
) -> None:
    page = context(viewport={"width": 360, "height": 700}).new_page()
    page.goto(f"{served.address}/#key={served.key()}&external=wmc13")
    expect(page.locator("#card h2")).to_have_text("王3丽")
    assert not page.locator("header").is_visible()
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert "nba_" not in page.url  # the key has left the address
    stranger = context().new_page()
    stranger.goto(f"{served.address}/#key={served.key()}&external=wmc21")
    expect(stranger.locator("#notice")).to_be_visible()
    expect(stranger.locator("#card")).to_be_hidden()


@contextmanager
def chat_app(frame: str) -> Iterator[int]:
    """Serve a page that shows another in a frame; the port."""

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = f'<iframe src="{frame}" width="360" height="600"></iframe>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_short_token_opens_a_frame_on_the_hosts_that_may_have_one(
    served: Served, context: Context
) -> None:
    key = {"Authorization": f"Bearer {served.key('s1', Scope.STORE)}"}
    asked = context().request.post(
        f"{served.address}/v1/sidebar-tokens", data={"external_id": "wmc13"}, headers=key
    )
    with chat_app(f"{served.address}{html.escape(asked.json()['path'])}") as port:
        page = context().new_page()
        page.goto(f"http://localhost:{port}")
        frame = page.frame_locator("iframe")
        expect(frame.locator("#card h2")).to_have_text("王3丽")
        expect(frame.locator("#card")).to_contain_text("What you can do now")
        served.moment[0] += timedelta(minutes=16)
        page.reload()
        expect(frame.locator("#card")).to_contain_text("This view has ended")
        assert not frame.locator("#sign-in").is_visible()
        page.goto(f"http://127.0.0.1:{port}")  # a host that is not named
        page.wait_for_timeout(500)
        assert frame.locator("#card").count() == 0


def test_text_of_others_is_shown_as_text(served: Served, signed_in: SignedIn) -> None:
    attack = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>'
    served.shop.names["c11"] = {"name": attack, "alias": attack, "avatar": "javascript:hit=1"}
    now = served.moment[0] - timedelta(minutes=1)
    for tag, value in ((attack, attack), ("note", attack)):
        served.store.put_tag("c11", Tag(tag, value, TagSource.CLERK, now, None))
    page = signed_in()
    expect(page.locator('[data-action="k1-1"]')).to_contain_text("<script>")
    page.locator('[data-action="k1-1"] .who').click()
    expect(page.locator("#card")).to_contain_text("onerror")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("searchbox").fill("script")
    expect(page.locator(".people")).to_contain_text("<script>")
    assert page.evaluate("window.hit") is None
    assert page.locator("img").count() == 0


def test_the_language_is_switched_and_stays(signed_in: SignedIn) -> None:
    page = signed_in()
    page.get_by_role("button", name="中文").click()
    item = page.locator('[data-action="k1-1"]')
    for text in ("绿茶", "茶叶", "快用完了", "已发送"):
        expect(item).to_contain_text(text)
    assert "Green tea" not in item.inner_text()
    page.reload()
    expect(page.locator("h1")).to_have_text("今日联系")
    assert page.locator("html").get_attribute("lang") == "zh-CN"


@pytest.mark.parametrize(("days", "is_stale"), [(0, False), (3, True), (-1, True)])
def test_a_list_of_another_day_has_a_banner_and_takes_no_sent(
    served: Served, signed_in: SignedIn, days: int, is_stale: bool
) -> None:
    served.moment[0] += timedelta(days=days)
    page = signed_in()
    assert (page.get_by_role("alert").count() > 0) == is_stale
    assert (page.get_by_role("button", name="Sent", exact=True).count() == 0) == is_stale
    assert page.get_by_role("button", name="Skip").count() == 7


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["list", "card", "Find", "Posts", "Results", "Team"])
def test_axe_finds_nothing_serious(signed_in: SignedIn, view: str, scheme: str) -> None:
    who = ("s1", Scope.STORE) if view == "Team" else ("k1", Scope.CLERK)
    page = signed_in(*who, color_scheme=scheme, bypass_csp=True)
    if view == "card":
        page.locator('[data-action="k1-1"] .who').click()
        page.locator("#card h2").wait_for()
    if view not in ("list", "card"):
        page.get_by_role("button", name=view).click()
        page.locator(".panel, .find").first.wait_for()
    if view == "Find":
        page.get_by_role("searchbox").fill("王")
        page.locator(".people li").first.wait_for()
    page.wait_for_timeout(250)
    found = Axe().run(page).response["violations"]
    serious = [
        (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_targets_are_large_and_the_header_low(signed_in: SignedIn) -> None:
    page = signed_in()
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, a.button, summary")]
            .filter((one) => one.checkVisibility())
            .map((one) => [one.textContent.slice(0, 20), one.getBoundingClientRect()])
            .filter(([, box]) => box.height < 44 || box.width < 44)
            .map(([text, box]) => `${text} ${box.width}x${box.height}`)"""
    )
    assert small == []
    header = page.locator("header").bounding_box()
    assert header is not None
    assert header["height"] <= 64
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not wide


@pytest.mark.parametrize("width", [360, 390])
def test_the_header_holds_its_buttons_on_a_phone(signed_in: SignedIn, width: int) -> None:
    page = signed_in()
    page.set_viewport_size({"width": width, "height": 740})
    page.evaluate("document.getElementById('clerk').options[0].text = 'A clerk of a long name'")
    page.evaluate("document.getElementById('online').textContent = '3 to send'")
    for text in ("Sign out", "中文"):
        box = page.get_by_role("button", name=text).bounding_box()
        assert box is not None
        assert box["height"] <= 48
        assert 0 <= box["y"] <= box["y"] + box["height"] <= 56
        assert box["x"] + box["width"] <= width


def test_what_is_enumerated_is_so_in_the_pages_language() -> None:
    with_mark = {one.name for one in PAGE.glob("*.js") if '"、"' in one.read_text("utf-8")}
    assert with_mark == {"dom.js"}


def test_the_page_weighs_little_and_loads_nothing_from_elsewhere() -> None:
    assert sum(path.stat().st_size for path in PAGE.iterdir()) < 100_000
    for path in PAGE.iterdir():
        links = re.findall(r"https?://[^\s\"')/]+", path.read_text(encoding="utf-8"))
        assert set(links) <= {"http://www.w3.org"}


def test_a_strict_policy_keeps_the_page_to_itself(served: Served, context: Context) -> None:
    page = context().new_page()
    response = page.goto(served.address)
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.endswith("frame-ancestors http://localhost:*")
    assert "unsafe" not in policy
    assert response.headers["content-encoding"] == "gzip"


def test_the_page_has_every_text_in_both_languages() -> None:
    source = (PAGE / "texts.js").read_text(encoding="utf-8")
    zh, en = re.split(r"^  en: \{", source, flags=re.M)
    plain = [re.sub(r"\"[^\"]*\"|`[^`]*`", '""', part) for part in (zh, en)]
    names = [set(re.findall(r"(?:^|[{,])\s*([a-z_0-9]+):", part, flags=re.M)) for part in plain]
    assert names[0] - {"zh"} == names[1] - {"en"}
    used = set()
    for file in PAGE.glob("*.*"):
        content = file.read_text(encoding="utf-8")
        used |= set(re.findall(r'data-(?:text|label)="(\w+)"|\bt\("(\w+)"\)', content))
    missing = {name for pair in used for name in pair if name} - names[0]
    assert missing == set()
    assert re.search(r"[\u4e00-\u9fff]", re.sub(r'other_language: "[^"]*"', "", en)) is None


def test_the_service_worker_lays_by_every_file() -> None:
    worker = (PAGE / "sw.js").read_text(encoding="utf-8")
    laid_by = set(re.findall(r'"([\w-]+\.(?:js|css))"', worker))
    assert laid_by == {path.name for path in PAGE.iterdir()} - {"sw.js", "index.html"}
