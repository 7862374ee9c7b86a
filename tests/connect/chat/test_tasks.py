"""Tasks of the plan exist once; what became of them has four outcomes, and one teaches."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from tests.connect.chat.conftest import Shop

from nba.connect.chat import tasks
from nba.connect.chat.demo import show_chat
from nba.connect.chat.played import SECRET, Faults
from nba.connect.chat.results import ReadBack, read_back
from nba.connect.chat.tasks import Sent, send
from nba.data.ingest import ingest
from nba.schema.words import FeedbackKind
from nba.stores import chat
from nba.stores.chat import TaskState
from nba.stores.feedback import Feedback
from nba.stores.outbox import Event

DAY = date(2026, 3, 2)
PEOPLE = ("wm1", "wm2", "wm3", "wm4", "wm5")


def action(number: int, text: str, **changes: Any) -> dict[str, Any]:
    return {
        "action_id": f"a{number}",
        "as_of": DAY,
        "clerk_id": "K1",
        "rank": number,
        "customer_id": "C1" if number == 1 else f"wecom:wm{number}",
        "mode": "shopping_assistant",
        "action_type": "new_arrival",
        "channel": "chat",
        "product_ids": ["P1"],
        "content_id": None,
        "contact_from": datetime(2026, 3, 2, 9),
        "contact_to": datetime(2026, 3, 2, 18),
        "minutes": 2.0,
        "value": 1.0,
        "uplift": 1.0,
        "p_repurchase_30d": 0.1,
        "propensity": 0.5,
        "explored": False,
        "arm": "engine",
        "reasons": [],
        "talking_point": text,
        "policy_version": "p",
        "model_versions": "m",
        "expires_at": datetime(2026, 3, 3),
        **changes,
    }


@pytest.fixture
def planned(shop: Shop) -> Shop:
    for one in PEOPLE:
        shop.played.befriend("xiaomei", one, createtime=shop.played.now - 86400)
    shop.sync()
    rows = [
        action(1, "新品到店，来看看"),
        action(2, "新品到店，来看看"),
        action(3, "新品到店，来看看"),
        action(4, "您的专属建议"),
        action(5, "电话", channel="phone", mode="private_partner"),
    ]
    shop.wiring.plan_store.publish({"as_of": DAY, "policy_version": "p"}, pl.DataFrame(rows))
    return shop


def give(shop: Shop) -> Sent:
    return send(shop.wiring, shop.platform, shop.clock.now)


def back(shop: Shop) -> ReadBack:
    return read_back(shop.wiring, shop.platform, shop.clock.now)


def quota(shop: Shop) -> dict[str, str]:
    from sqlalchemy import select

    from nba.stores.schema import quotas

    with shop.wiring.plan_store.database.reading() as connection:
        rows = connection.execute(select(quotas.c.action_id, quotas.c.state))
        return {row.action_id: row.state for row in rows}


def contacts(shop: Shop) -> set[str]:
    frames = shop.wiring.plan_store.new_events()
    return set(frames["interactions"]["action_id"]) if "interactions" in frames else set()


def test_actions_of_one_text_are_one_task_and_a_second_call_makes_none(planned: Shop) -> None:
    assert give(planned) == Sent(prepared=2, made=2)
    made = {task.text: sorted(task.states) for task in planned.played.tasks.values()}
    assert made == {"新品到店，来看看": ["wm1", "wm2", "wm3"], "您的专属建议": ["wm4"]}
    assert give(planned) == Sent()
    assert len(planned.played.tasks) == 2


def test_four_outcomes_and_only_what_was_sent_is_a_contact(planned: Shop) -> None:
    give(planned)
    first, second = planned.played.tasks
    planned.played.leave("xiaomei", "wm2")
    planned.played._received["wm3", "2026-03-02"] = 1
    planned.clock.later(hours=1)
    planned.played.confirm(first)
    done = back(planned)
    assert dict(done.outcomes) == {"sent": 1, "not_friend": 1, "capped": 1}
    assert (done.tasks, done.closed) == (2, 1)
    planned.clock.later(hours=30)
    late = back(planned)
    assert dict(late.outcomes) == {"not_sent": 1}
    assert planned.played.tasks[second].cancelled
    assert planned.played.confirm(second) == []
    said = {
        name: [(row["kind"], row["reason"]) for row in planned.wiring.plan_store.feedback(name)]
        for name in ("a1", "a2", "a3", "a4", "a5")
    }
    assert said == {
        "a1": [("sent", None)],
        "a2": [("undelivered", "not_a_friend")],
        "a3": [("undelivered", "platform_cap")],
        "a4": [("expired", "not_sent_by_clerk")],
        "a5": [],
    }
    assert contacts(planned) == {"a1"}
    assert quota(planned) == {
        "a1": "spent", "a2": "released", "a3": "released", "a4": "released", "a5": "reserved",
    }  # fmt: skip
    assert dict(back(planned).outcomes) == {}


def test_no_friend_ends_the_friendship_and_says_of_nobody_that_they_ended_it(
    planned: Shop,
) -> None:
    give(planned)
    planned.played.leave("xiaomei", "wm2")
    planned.clock.later(hours=1)
    planned.played.confirm(next(iter(planned.played.tasks)))
    back(planned)
    planned.sync(full=False)
    theirs = planned.lake("friendships").filter(pl.col("customer_id") == "wecom:wm2")
    row = theirs.row(0, named=True)
    assert row["ended_at"] is not None
    assert row["ended_by"] is None


@pytest.mark.parametrize("lost", ["answer", "call"])
def test_a_call_without_an_answer_makes_one_task(
    planned: Shop, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    planned.platform.session.get("externalcontact/get_follow_user_list")
    planned.played.faults = Faults(cut=1.0) if lost == "answer" else Faults(busy=1.0)
    assert give(planned).made == 0
    planned.played.faults = Faults()
    assert give(planned).made == 0  # too early to tell
    planned.clock.later(minutes=6)
    done = give(planned)
    assert (done.found, done.made) == ((2, 0) if lost == "answer" else (0, 2))
    assert len(planned.played.tasks) == 2
    planned.played.confirm("msg000001")
    planned.played.confirm("msg000002")
    assert back(planned).outcomes["sent"] == 4


def test_a_process_that_dies_before_the_call_leaves_a_task_to_make(
    planned: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "_call", die)
    with pytest.raises(KeyboardInterrupt):
        give(planned)
    monkeypatch.undo()
    planned.clock.later(minutes=6)
    assert give(planned).made == 2
    assert len(planned.played.tasks) == 2


def test_a_limit_leaves_tasks_for_the_next_call(planned: Shop) -> None:
    planned.platform.session.get("externalcontact/get_follow_user_list")
    planned.played.faults = Faults(calls_per_second=1)
    planned.played._second = (planned.played.now, 5)
    done = give(planned)
    assert (done.prepared, done.made, done.waiting) == (2, 0, 2)
    planned.clock.later(seconds=2)
    planned.played.faults = Faults()
    assert give(planned).made == 2


def test_who_is_no_contact_is_told_at_once_and_a_refusal_frees_the_action(planned: Shop) -> None:
    planned.played.unfriend("xiaomei", "wm2")
    planned.played.unfriend("xiaomei", "wm4")
    done = give(planned)
    assert (done.made, done.failed) == (1, 1)
    (said,) = planned.wiring.plan_store.feedback("a2")
    assert (said["kind"], said["reason"]) == ("undelivered", "not_a_friend")
    assert planned.wiring.plan_store.feedback("a4") == []


def test_what_the_clerk_did_by_hand_is_not_sent_again(planned: Shop) -> None:
    entry = Feedback("f", "a4", "K1", planned.clock.now, FeedbackKind.SKIPPED)
    planned.wiring.plan_store.record([entry])
    assert give(planned).prepared == 1


def test_the_platform_counts_where_the_clerk_said_sent(planned: Shop) -> None:
    give(planned)
    entry = Feedback("f", "a3", "K1", planned.clock.now, FeedbackKind.SENT)
    planned.wiring.plan_store.record([entry])
    assert contacts(planned) == {"a3"}
    planned.played._received["wm3", "2026-03-02"] = 1
    planned.clock.later(hours=1)
    planned.played.confirm("msg000001")
    back(planned)
    assert contacts(planned) == {"a1", "a2"}
    assert quota(planned)["a3"] == "released"


def test_posts_become_contacts_with_those_who_could_see_them(planned: Shop) -> None:
    folder = planned.wiring.project.run_folder(DAY.isoformat()) / "plan"
    folder.mkdir(parents=True)
    post = {
        "audience": "moments:K1", "clerk_id": "K1", "channel": "moments",
        "mode": "shopping_assistant", "content_id": "T1", "posted": True,
    }  # fmt: skip
    pl.DataFrame([post]).write_parquet(folder / "posts.parquet")
    member = {name: value for name, value in post.items() if name != "posted"}
    members = [{**member, "customer_id": one, "propensity": 0.9} for one in ("C1", "wecom:wm2")]
    pl.DataFrame(members).write_parquet(folder / "post_members.parquet")
    content = {"content_id": "T1", "mode": "shopping_assistant", "title": "春款 | Spring"}
    tables = planned.wiring.project.root / "more"
    tables.mkdir()
    pl.DataFrame([content]).write_parquet(tables / "content.parquet")
    ingest(tables, planned.wiring.lake, time_zone="Asia/Shanghai", now=planned.clock.now)
    assert give(planned).made == 3
    assert [one.text for one in planned.played.posts.values()] == ["春款"]
    assert back(planned).outcomes == {}
    planned.played.unfriend("xiaomei", "wm2")
    planned.played.publish("job000001")
    assert back(planned).outcomes == {"post published": 1}
    rows = planned.wiring.plan_store.new_events()["interactions"]
    assert rows.select("customer_id", "channel").rows() == [("C1", "moments")]
    assert back(planned).outcomes == {}


def test_a_hand_over_is_asked_for_once_and_its_end_is_read(planned: Shop) -> None:
    planned.played.hire("K2")
    folder = planned.wiring.project.run_folder(DAY.isoformat()) / "plan"
    folder.mkdir(parents=True)
    proposal = {"customer_id": "C1", "from_clerk_id": "K1", "to_clerk_id": "K2"}
    pl.DataFrame([proposal]).write_parquet(folder / "handovers.parquet")
    give(planned)
    assert planned.played.transfers == {}
    friend = {"customer_id": "C1", "clerk_id": "K2", "since": planned.clock.now}
    planned.wiring.plan_store.accept([Event("friendships", friend)])
    give(planned)
    give(planned)
    assert planned.played.transfers == {("xiaomei", "K2", "wm1"): 2}
    assert planned.played.calls["externalcontact/transfer_customer"] == 1
    assert back(planned).closed == 0
    planned.played.settle_transfer("xiaomei", "K2", "wm1", 1)
    assert back(planned).outcomes == {"hand-over done": 1}
    with planned.wiring.plan_store.database.reading() as connection:
        assert not chat.moving(connection)
        assert not chat.tasks_in(connection, TaskState.CALLING, TaskState.READY)


def test_texts_are_not_kept_once_a_task_is_made(planned: Shop) -> None:
    give(planned)
    with planned.wiring.plan_store.database.reading() as connection:
        rows = chat.tasks_in(connection, TaskState.OPEN)
    assert [row.content for row in rows] == [{}, {}]


def test_the_demo_plays_a_whole_day(planned: Shop) -> None:
    lines: list[str] = []
    shown = show_chat(planned.wiring, lines.append, seed=3)
    assert shown.friends == 5
    assert (shown.tasks, sum(shown.outcomes.values())) == (2, 4)
    assert shown.quota.get("spent", 0) == shown.outcomes["sent"]
    assert all(SECRET not in line for line in lines)
    assert planned.wiring.settings.chat.url.startswith("https://")
