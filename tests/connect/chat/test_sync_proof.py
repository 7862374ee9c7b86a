"""A hundred thousand friends of five hundred clerks, read in full and in part, to the last one."""

from __future__ import annotations

from random import Random
from time import monotonic

import polars as pl
import pytest
from tests.connect.chat.conftest import Clock, Shop

from nba.connect.chat.callbacks import take
from nba.connect.chat.played import CORP_ID, Faults, PlayedWeCom

CLERKS, FRIENDS, CHANGES = 500, 100_000, 3000


def fill(played: PlayedWeCom, clerks: int, friends: int, draw: Random) -> None:
    """Give clerks their friends, one in twenty of whom has a second clerk; and groups."""
    for clerk in range(clerks):
        played.hire(f"u{clerk:03d}")
    for number in range(friends * 20 // 21):
        since = played.now - draw.randrange(86400, 86400 * 700)
        facts = {
            "name": f"顾客{number}", "gender": number % 3, "unionid": f"un{number}",
            "add_way": number % 12, "state": f"s{number % 7}", "createtime": since,
            "remark_mobiles": [f"138{number:08d}"], "tags": [f"t{number % 40}"],
        }  # fmt: skip
        first = draw.randrange(clerks)
        played.befriend(f"u{first:03d}", f"wm{number:06d}", **facts)
        if number % 20 == 0:
            played.befriend(f"u{(first + 1) % clerks:03d}", f"wm{number:06d}", **facts)
    for number in range(clerks // 5):
        members = [f"wm{draw.randrange(friends * 20 // 21):06d}" for _ in range(50)]
        played.create_group(f"g{number}", f"u{number:03d}", f"群{number}", sorted(set(members)))


def change(shop: Shop, changes: int, draw: Random) -> int:
    """Let people come and go; every callback comes up to three times. Return how many differ."""
    played, told = shop.played, 0
    pairs = sorted((one, who) for one, friends in played.friends.items() for who in friends)
    for number, (clerk, who) in enumerate(draw.sample(pairs, changes)):
        what = draw.choice(("add", "add", "edit", "clerk", "customer"))
        fields = {"ToUserName": CORP_ID, "Event": "change_external_contact", "UserID": clerk}
        if what == "add":
            who = f"wmnew{number:05d}"
            played.befriend(clerk, who, name=who)
            fields["ChangeType"] = "add_external_contact"
        elif what == "edit":
            played.friends[clerk][who]["tag_id"] = [played.tag_id("edited")]
            fields["ChangeType"] = "edit_external_contact"
        elif what == "clerk":
            played.unfriend(clerk, who)
            fields["ChangeType"] = "del_external_contact"
        else:
            played.leave(clerk, who)
            fields["ChangeType"] = "del_follow_user"
        fields |= {"ExternalUserID": who, "CreateTime": str(played.now)}
        for _ in range(draw.randrange(1, 4)):
            told += take(shop.wiring, fields).is_new
    return told


def truth(played: PlayedWeCom) -> set[tuple[str, str, int]]:
    return {
        (who, clerk, int(follow["createtime"]))
        for clerk, friends in played.friends.items()
        for who, follow in friends.items()
        if (clerk, who) not in played.deleted_by_customer
    }


def lake(shop: Shop) -> set[tuple[str, str, int]]:
    rows = shop.lake("friendships").filter(
        pl.col("ended_at").is_null(), pl.col("clerk_id").str.starts_with("u")
    )
    seconds = rows.with_columns(pl.col("since").dt.epoch("s"))
    found = list(seconds.select("customer_id", "clerk_id", "since").iter_rows())
    assert len(set(found)) == len(found)
    return {(who.removeprefix("wecom:"), clerk, since) for who, clerk, since in found}


def reconcile(shop: Shop, clock: Clock, clerks: int, friends: int, changes: int) -> dict[str, int]:
    draw = Random(7)
    fill(shop.played, clerks, friends, draw)
    shop.played.faults = Faults(cut=0.02, busy=0.02, forgets=0.005, calls_per_second=20)
    shop.platform.session.pause = lambda seconds: clock.later(seconds=seconds)
    said: dict[str, int] = {"friends": len(truth(shop.played))}

    def read(name: str, *, full: bool) -> None:
        began, calls = monotonic(), shop.platform.session.calls
        done = shop.sync(full=full)
        assert done.refused == 0
        assert lake(shop) == truth(shop.played)
        said[f"{name} named"] = done.contacts
        said[f"{name} new"] = done.new
        said[f"{name} ended"] = done.ended
        said[f"{name} calls"] = shop.platform.session.calls - calls
        said[f"{name} seconds"] = round(monotonic() - began)

    read("full", full=True)
    clock.later(hours=1)
    said["callbacks"] = change(shop, changes, draw)
    clock.later(hours=1)
    read("partial", full=False)
    clock.later(hours=1)
    read("full again", full=True)
    assert said["full again new"] == said["full again ended"] == 0
    said["lake"] = len(lake(shop))
    return said


def test_a_small_platform_reconciles(shop: Shop, clock: Clock) -> None:
    said = reconcile(shop, clock, clerks=12, friends=420, changes=12)
    assert said["callbacks"] == 12
    assert said["full new"] == 420


@pytest.mark.proof
def test_a_large_platform_reconciles(shop: Shop, clock: Clock) -> None:
    said = reconcile(shop, clock, CLERKS, FRIENDS, CHANGES)
    print(said)
    assert said["callbacks"] == CHANGES
