"""If the clerk does not act: of clerk and other channel exactly one reaches the customer."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from sqlalchemy import select
from tests.connect.test_hooks import NOW, Clock

from nba.connect.chat.outcomes import settle_recipient
from nba.connect.fallback import deadline_of, decide, fall_back
from nba.decisions.action_types import Fallback
from nba.jobs.init import init_project
from nba.schema.words import FeedbackKind
from nba.settings import Project
from nba.stores import chat, fallbacks, hooks, people
from nba.stores.chat import NewTask, TaskState
from nba.stores.feedback import Feedback
from nba.stores.hooks import HookEvent
from nba.stores.operational import OperationalStore, Writer
from nba.stores.outbox import Event
from nba.stores.people import Consent
from nba.stores.schema import feedback as feedback_table
from nba.stores.schema import hook_deliveries, outbox
from nba.wiring import Wiring

DAY = date(2026, 3, 2)
#: Minutes in which the clerk, the platform, the customer and the deadline come, in any order.
SPAN = 100
#: Minutes between two calls, and between two decisions of one.
TICK = 5
DECISION = 0.02
#: How often a process dies before it commits.
DEATHS = 0.15
#: The same of one decision of a call, with which the rest of the call is lost.
DEATHS_DECIDING = 0.03


class DeathError(Exception):
    """The process died."""


@dataclass
class Life:
    """What really happened to one action, beside what the store says."""

    number: int
    has_task: bool
    messages: int = 0
    acted: bool = False
    overtaken: bool = False

    @property
    def action_id(self) -> str:
        return f"a{self.number}"


@dataclass
class Process:
    """One call of `nba actions fall-back`: what it knew at its beginning, and whether it died."""

    is_heard: bool
    is_dead: bool = False


@dataclass
class Interleaving:
    """Random lives of many actions in one store, on the real statements."""

    store: OperationalStore
    clock: Clock
    random: Random
    lives: list[Life] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)

    def begin(self, actions: int) -> None:
        rows = [
            {
                "action_id": f"a{number}", "as_of": DAY, "clerk_id": f"K{number % 20}",
                "rank": number, "customer_id": f"C{number}", "mode": "shopping_assistant",
                "action_type": "new_arrival", "channel": "chat", "product_ids": ["P1"],
                "content_id": None, "contact_from": datetime(2026, 3, 2, 10),
                "contact_to": datetime(2026, 3, 2, 12), "minutes": 2.0, "value": 1.0,
                "uplift": 1.0, "p_repurchase_30d": 0.1, "propensity": 0.5, "explored": False,
                "arm": "engine", "reasons": [], "talking_point": "x", "policy_version": "p",
                "model_versions": "m", "expires_at": datetime(2026, 3, 3),
            }
            for number in range(actions)
        ]  # fmt: skip
        self.store.publish({"as_of": DAY, "policy_version": "p"}, pl.DataFrame(rows))
        self.store.add_hook("https://crm.example/nba", [HookEvent.ACTION_FALLBACK])
        self.lives = [Life(number, self.random.random() < 0.5) for number in range(actions)]
        start = self.clock.now
        with self.store.writing() as writer:
            chat.prepare(writer.connection, [_task(one) for one in self.lives if one.has_task], NOW)
            fallbacks.arm(
                writer.connection,
                [
                    {
                        "action_id": one.action_id, "customer_id": f"C{one.number}",
                        "clerk_id": f"K{one.number % 20}", "channel": "mini_program",
                        "begins_at": start,
                        "deadline": start + timedelta(minutes=self.random.uniform(1, SPAN)),
                    }
                    for one in self.lives
                ],
                NOW,
            )  # fmt: skip

    def run(self) -> None:
        start = self.clock.now
        order = count()
        waiting: list[tuple[float, int, str, Any]] = []

        def push(minute: float, what: str, subject: Any) -> None:
            heappush(waiting, (minute, next(order), what, subject))

        for one in self.lives:
            for minute, what, life in self._schedule(one):
                push(minute, what, life)
        for minute in range(0, SPAN + 60, TICK):
            push(float(minute), "tick", None)
        while waiting:
            minute, _, what, subject = heappop(waiting)
            self.clock.now = start + timedelta(minutes=minute)
            try:
                if what == "tick":
                    # what is due is read once and decided one by one, while others go on writing
                    process = Process(is_heard=self._is_heard())
                    for place, row in enumerate(self._due()):
                        push(minute + place * DECISION, "decide", (process, row))
                elif what == "decide":
                    self._decide(*subject)
                else:
                    self._do(what, subject)
            except DeathError:
                if what != "decide":
                    push(minute + self.random.uniform(0, 5), what, subject)
            if not waiting and self._due():
                push(minute + TICK, "tick", None)

    def _schedule(self, one: Life) -> list[tuple[float, str, Life | None]]:
        draw = self.random
        events: list[tuple[float, str, Life | None]] = []
        if draw.random() < 0.4:
            kind = draw.choice(("page sent", "page sent", "page skipped"))
            events.append((draw.uniform(0, SPAN), kind, one))
        if one.has_task:
            # the platform always says in the end what became of a message
            kind = draw.choice(("sent", "not_friend", "capped", "not_sent"))
            events.append((draw.uniform(0, SPAN + 20), kind, one))
            if draw.random() < 0.3:
                events.append((draw.uniform(0, SPAN + 30), kind, one))  # read back again
        if draw.random() < 0.15:
            kind = draw.choice(("buys", "refuses"))
            events.append((draw.uniform(0, SPAN), kind, one))
        return events

    def _do(self, what: str, life: Life) -> None:
        dies = self.random.random() < DEATHS
        before = (life.messages, life.acted, life.overtaken)
        try:
            with self.store.writing() as writer:
                self._one(writer, what, life)
                if dies:
                    raise DeathError
        except DeathError:
            life.messages, life.acted, life.overtaken = before
            raise

    def _is_heard(self) -> bool:
        with self.store.database.reading() as connection:
            return hooks.is_heard(connection, HookEvent.ACTION_FALLBACK)

    def _due(self) -> list[Any]:
        with self.store.database.reading() as connection:
            return fallbacks.due(connection, self.clock.now)

    def _decide(self, process: Process, row: Any) -> None:
        """Decide one of what a process found due; what it died before is left to the next."""
        if process.is_dead:
            return
        with self.store.writing() as writer:
            self.decisions[decide(writer, row, is_heard=process.is_heard)] += 1
            if self.random.random() < DEATHS_DECIDING:
                process.is_dead = True
                raise DeathError

    def _one(self, writer: Writer, what: str, life: Life) -> None:
        connection = writer.connection
        if what.startswith("page"):
            if self._is_closed(writer, life):
                return  # the page shows it no longer
            kind = FeedbackKind.SENT if what == "page sent" else FeedbackKind.SKIPPED
            entry = Feedback(
                f"page:{life.action_id}", life.action_id, f"K{life.number % 20}", writer.now, kind
            )
            writer.record(entry)
            life.acted = True
            life.messages += kind is FeedbackKind.SENT
        elif what == "buys":
            row = {
                "order_id": f"O{life.number}", "line_no": "1", "customer_id": f"C{life.number}",
                "product_id": "P1", "ts": writer.now, "quantity": 1,
            }  # fmt: skip
            writer.accept(Event("transactions", row))
            life.overtaken = True
        elif what == "refuses":
            people_consent(writer, f"C{life.number}")
            life.overtaken = True
        else:
            (one,) = chat.recipients(connection, f"t{life.number}")
            task = SimpleNamespace(clerk="k", clerk_id=f"K{life.number % 20}")
            if settle_recipient(writer, task, one, what, writer.now):
                life.acted |= what != "not_sent"
                # sent by hand and told by the platform is one message
                life.messages += what == "sent" and life.messages == 0

    def _is_closed(self, writer: Writer, life: Life) -> bool:
        query = select(feedback_table.c.kind).where(feedback_table.c.action_id == life.action_id)
        return writer.connection.scalar(query.limit(1)) is not None

    def check(self) -> Counter[str]:
        """Return what the lives came to; nothing twice, nothing lost."""
        with self.store.database.reading() as connection:
            bodies = connection.scalars(select(hook_deliveries.c.body)).all()
            contacts = connection.scalars(
                select(outbox.c.row_key).where(outbox.c.table_name == "interactions")
            ).all()
        fired = Counter(json.loads(body)["data"]["action_id"] for body in bodies)
        noted = Counter(key.removeprefix("fallback:") for key in contacts if "fallback:" in key)
        assert fired == noted
        done: Counter[str] = Counter()
        for life in self.lives:
            told = fired[life.action_id]
            done["duplicates"] += told > 1 or (told > 0 and life.messages > 0)
            done["lost"] += not (told or life.acted or life.overtaken)
            done["fired" if told else "acted" if life.acted else "overtaken"] += 1
        return done


def people_consent(writer: Writer, customer_id: str) -> None:
    refusal = Consent(consent_contact=False, consent_profiling=False, consent_at=writer.now)
    people.put_consent(writer.connection, customer_id, refusal, author=None, now=writer.now)


def _task(one: Life) -> NewTask:
    row = {
        "task_id": f"t{one.number}", "kind": "message", "as_of": DAY,
        "clerk_id": f"K{one.number % 20}", "clerk": "k", "content": {}, "expires_at": None,
    }  # fmt: skip
    who = {
        "customer_id": f"C{one.number}", "external_id": f"wm{one.number}",
        "action_id": one.action_id,
    }  # fmt: skip
    return NewTask(row, [who])


def interleave(folder: Path, seed: int, actions: int) -> Counter[str]:
    clock = Clock()
    store = OperationalStore(f"sqlite:///{folder / f'{seed}.db'}", clock=clock)
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        # a process that dies loses nothing by it, only a machine would
        connection.exec_driver_sql("PRAGMA synchronous=OFF").close()
        connection.exec_driver_sql("BEGIN")
    lives = Interleaving(store, clock, Random(seed))
    lives.begin(actions)
    lives.run()
    done = lives.check()
    store.close()
    return done


def test_some_interleavings_reach_everybody_exactly_once(tmp_path: Path) -> None:
    done = interleave(tmp_path, 1, 150)
    assert (done["duplicates"], done["lost"]) == (0, 0)
    assert min(done["fired"], done["acted"], done["overtaken"]) > 0


@pytest.mark.proof
def test_a_hundred_thousand_interleavings_reach_everybody_exactly_once(tmp_path: Path) -> None:
    total: Counter[str] = Counter()
    for seed in range(200):
        total += interleave(tmp_path, 100 + seed, 500)
        print(seed, dict(total), flush=True)
    assert total["fired"] + total["acted"] + total["overtaken"] == 100_000
    assert (total["duplicates"], total["lost"]) == (0, 0)


# ------------------------------------------------------------------ the whole way


@pytest.fixture
def shop(tmp_path: Path) -> Wiring:
    folder = tmp_path / "shop"
    init_project(folder, {})
    path = folder / "serving" / "actions.yaml"
    text = path.read_text(encoding="utf-8")
    one = "  - action_type: new_arrival\n"
    assert one in text
    fallback = "    fallback: {after_hours: 4, channel: mini_program}\n"
    path.write_text(text.replace(one, one + fallback), encoding="utf-8")
    return Wiring(Project.open(folder))


def test_an_action_nobody_acted_on_goes_out_by_the_other_channel(shop: Wiring) -> None:
    clock = Clock()
    clock.now = datetime(2026, 3, 2, 5, 59, tzinfo=NOW.tzinfo)  # 13:59 in Shanghai
    store = shop.plan_store
    store._clock = clock
    lives = Interleaving(store, clock, Random(1))
    lives.begin(0)
    plan = {"as_of": DAY, "policy_version": "p2"}
    row = {
        "action_id": "a1", "as_of": DAY, "clerk_id": "K1", "rank": 1, "customer_id": "C1",
        "mode": "shopping_assistant", "action_type": "new_arrival", "channel": "chat",
        "product_ids": ["P1"], "content_id": None, "contact_from": datetime(2026, 3, 2, 10),
        "contact_to": datetime(2026, 3, 2, 12), "minutes": 2.0, "value": 1.0, "uplift": 1.0,
        "p_repurchase_30d": 0.1, "propensity": 0.5, "explored": False, "arm": "engine",
        "reasons": [], "talking_point": "x", "policy_version": "p", "model_versions": "m",
        "expires_at": datetime(2026, 3, 3),
    }  # fmt: skip
    store.publish(plan, pl.DataFrame([row, {**row, "action_id": "a2", "customer_id": "C2"}]))
    assert fall_back(shop, clock.now) == {"armed": 2}
    store.record([Feedback("f", "a2", "K1", clock.now, FeedbackKind.SENT)])
    clock.now += timedelta(minutes=2)
    assert fall_back(shop, clock.now) == {"fired": 1}
    assert fall_back(shop, clock.now) == {}
    (said,) = store.feedback("a1")
    assert (said["kind"], said["reason"]) == ("expired", "fallback")
    rows = store.new_events()["interactions"].select("customer_id", "channel", "minutes").rows()
    assert rows == [("C2", "chat", 2.0), ("C1", "mini_program", 0.0)]
    with store.database.reading() as connection:
        assert fallbacks.summary(connection) == {"cancelled sent": 1, "fired mini_program": 1}


def test_without_a_webhook_that_listens_nothing_is_decided(shop: Wiring) -> None:
    store = shop.plan_store
    clock = Clock()
    store._clock = clock
    lives = Interleaving(store, clock, Random(1))
    lives.begin(1)
    (hook,) = store.hooks()
    store.remove_hook(hook["hook_id"])
    clock.now += timedelta(days=1)
    with store.writing() as writer:
        (row,) = fallbacks.due(writer.connection, clock.now)
        expected = "waits" if lives.lives[0].has_task else "unheard"
        assert decide(writer, row, is_heard=False) == expected
        assert chat.tasks_in(writer.connection, TaskState.DONE) == []


def test_deadlines_stand_in_the_shops_zone() -> None:
    rule = Fallback(after_hours=2.5, channel="subscription")
    found = deadline_of(rule, datetime(2026, 3, 2, 10), ZoneInfo("Asia/Shanghai"))
    assert found == datetime(2026, 3, 2, 4, 30, tzinfo=NOW.tzinfo)
