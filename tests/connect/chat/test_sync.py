"""What the platform knows comes into the lake once, whatever is lost on the way."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from tests.connect.chat.conftest import Shop

from nba.connect.chat.played import Faults
from nba.errors import InputRefusedError
from nba.schema.words import EndedBy
from nba.stores import chat


@pytest.fixture
def friends(shop: Shop) -> Shop:
    played = shop.played
    old = shop.played.now - 86400
    played.hire("K2")
    played.befriend(
        "xiaomei", "wm1", name="Lily", gender=2, remark="丽姐", createtime=old, add_way=1,
        state="till", remark_mobiles=["+86 138 0013 8000"], tags=["vip", "shoes"],
    )  # fmt: skip
    played.befriend("K2", "wm1", createtime=old + 60)
    played.befriend("xiaomei", "wm9", name="Han", unionid="u9", createtime=old)
    played.create_group("g1", "xiaomei", "妈妈群", ["wm1", "wm9", "wmstranger"])
    return shop


def open_friends(shop: Shop) -> set[tuple[str, str]]:
    rows = shop.lake("friendships").filter(pl.col("ended_at").is_null())
    return set(rows.select("customer_id", "clerk_id").iter_rows())


def test_everything_lands_as_rows_of_the_contract(friends: Shop) -> None:
    done = friends.sync()
    assert (done.contacts, done.new, done.ended, done.refused) == (3, 3, 0, 0)
    assert (done.groups, done.members, done.unknown_members, done.tags) == (1, 3, 1, 2)
    assert open_friends(friends) == {("C1", "K1"), ("C1", "K2"), ("wecom:wm9", "K1")}
    newest = friends.lake("customers").sort("valid_from").unique("customer_id", keep="last")
    lily = newest.row(by_predicate=pl.col("customer_id") == "C1", named=True)
    # the shop's own words stay; the platform fills what is empty
    assert (lily["name"], lily["city"], lily["alias"]) == ("王丽", "上海", "丽姐")
    assert (lily["gender"], lily["phone_tail"]) == ("female", "8000")
    assert (lily["attr_add_way"], lily["attr_state"]) == ("1", "till")
    han = newest.row(by_predicate=pl.col("customer_id") == "wecom:wm9", named=True)
    assert (han["name"], han["external_id"], han["clerk_id"]) == ("Han", "wm9", "K1")
    assert set(friends.lake("tags")["tag"]) == {"vip", "shoes"}
    members = friends.lake("memberships")
    assert set(members["customer_id"]) == {"C1", "wecom:wm9"}
    assert friends.lake("groups")["clerk_id"].to_list() == ["K1"]


def test_a_second_reading_changes_nothing(friends: Shop) -> None:
    friends.sync()
    version = friends.wiring.lake.version
    done = friends.sync()
    assert (done.new, done.ended) == (0, 0)
    assert friends.wiring.lake.version == version


def test_what_is_no_longer_named_has_ended(friends: Shop) -> None:
    friends.sync()
    friends.clock.later(hours=1)
    friends.played.unfriend("K2", "wm1")
    friends.played.quit("g1", "wm1")
    follow = friends.played.friends["xiaomei"]["wm1"]
    follow["tag_id"] = [friends.played.tag_id("vip")]
    done = friends.sync()
    assert done.ended == 1
    assert open_friends(friends) == {("C1", "K1"), ("wecom:wm9", "K1")}
    left = friends.lake("memberships").drop_nulls("left_at")
    assert left["customer_id"].to_list() == ["C1"]
    off = friends.lake("tags").drop_nulls("expires_at")
    assert off["tag"].to_list() == ["shoes"]


def test_a_friend_who_deleted_the_clerk_does_not_come_back(friends: Shop) -> None:
    friends.sync()
    friends.clock.later(hours=1)
    friends.played.leave("xiaomei", "wm1")
    with friends.wiring.plan_store.database.writing() as connection:
        chat.end(connection, "wm1", "xiaomei", EndedBy.CUSTOMER, friends.clock.now)
    assert friends.sync().ended == 1
    assert friends.sync().ended == 0
    row = friends.lake("friendships").drop_nulls("ended_at").row(0, named=True)
    assert (row["customer_id"], row["clerk_id"], row["ended_by"]) == ("C1", "K1", "customer")
    friends.clock.later(hours=1)
    friends.played.befriend("xiaomei", "wm1")
    assert friends.sync().new == 1
    assert ("C1", "K1") in open_friends(friends)


def test_only_what_was_marked_is_read_between_full_readings(friends: Shop) -> None:
    friends.sync()
    friends.clock.later(hours=1)
    friends.played.befriend("K2", "wmnew", name="New")
    friends.played.unfriend("K2", "wm1")
    friends.played.join("g1", "wmnew")
    with friends.wiring.plan_store.database.writing() as connection:
        for kind, one in ((chat.CONTACT, "wmnew"), (chat.CONTACT, "wm1"), (chat.GROUP, "g1")):
            chat.mark(connection, kind, one, friends.clock.now)
    friends.played.calls.clear()
    done = friends.sync(full=False)
    assert (done.new, done.ended, done.groups) == (1, 1, 1)
    assert friends.played.calls["externalcontact/batch/get_by_user"] == 0
    assert open_friends(friends) == {("C1", "K1"), ("wecom:wm9", "K1"), ("wecom:wmnew", "K2")}
    assert "wecom:wmnew" in set(friends.lake("memberships")["customer_id"])
    assert friends.sync(full=False).contacts == 0


def test_lost_answers_limits_and_forgotten_tokens_change_nothing(friends: Shop) -> None:
    for number in range(250):
        friends.played.befriend("K2", f"wmx{number:03d}", createtime=friends.played.now - 60)
    friends.played.faults = Faults(cut=0.2, busy=0.1, forgets=0.1, calls_per_second=0)
    done = friends.sync()
    assert (done.contacts, done.new) == (253, 253)
    assert friends.lake("friendships").height == 253


def test_a_platform_that_names_nobody_is_not_believed(friends: Shop) -> None:
    for number in range(40):
        friends.played.befriend("K2", f"wmx{number:03d}", createtime=friends.played.now - 60)
    friends.sync()
    for clerk in friends.played.friends:
        friends.played.friends[clerk].clear()
    with pytest.raises(InputRefusedError, match="no longer names most"):
        friends.sync()
    assert len(open_friends(friends)) == 43


def test_an_end_before_a_friendship_began_again_ends_nothing(friends: Shop) -> None:
    with friends.wiring.plan_store.database.writing() as connection:
        before = friends.clock.now - timedelta(days=3)
        chat.end(connection, "wm1", "xiaomei", EndedBy.CUSTOMER, before)
    friends.sync()
    assert ("C1", "K1") in open_friends(friends)
