"""`nba demo --chat`: the plan goes to a played platform, and what came of it comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from random import Random
from typing import Final

import polars as pl

from nba.connect.chat.platforms import platform_of
from nba.connect.chat.played import CORP_ID, SECRET, PlayedWeCom, served
from nba.connect.chat.results import read_back
from nba.connect.chat.sync import sync
from nba.connect.chat.tasks import People, moment_of, send
from nba.errors import NotFoundError
from nba.settings import Chat
from nba.wiring import Wiring

#: Shares of what clerks and customers do in the demo.
CONFIRMED: Final = 0.7
LEFT: Final = 0.04
HELD_BACK: Final = 0.06


@dataclass
class Shown:
    """What the demo came to.

    Parameters
    ----------
    friends, tasks : int
        Friendships on the platform, and tasks made there.
    outcomes : Counter of str
        What became of recipients.
    quota : dict of str to int
        Contacts of the plan by state in the ledger.
    """

    friends: int
    tasks: int
    outcomes: Counter[str]
    quota: dict[str, int]


def show_chat(wiring: Wiring, progress: Callable[[str], None], *, seed: int = 1) -> Shown:
    """Read a played platform, send the newest plan's tasks, and read back what became of them.

    Parameters
    ----------
    wiring : Wiring
    progress : callable
        Takes a line for people.
    seed : int
        Of what clerks and customers do.

    Raises
    ------
    NotFoundError
        Where no plan is published.
    """
    plan = wiring.plan_store.current_plan()
    if plan is None:
        raise NotFoundError("no plan is published", next_step="run `nba run`")
    morning = moment_of(wiring, datetime.combine(plan["as_of"], time(10)))
    clock = _Clock(morning)
    draw = Random(seed)
    played = PlayedWeCom(clock=clock, seed=seed)
    _populate(wiring, played, morning)
    with _settings(wiring, played) as url:
        platform = platform_of(wiring.settings)
        progress(f"a platform is played at {url}: nobody outside is reached")
        synced = sync(wiring, platform, full=True, now=morning)
        progress(f"nba chat sync --full: {synced.contacts:,} friendships, {synced.groups:,} groups")
        sent = send(wiring, platform, morning)
        progress(f"nba chat send: {sent.made:,} tasks made, each for a clerk to confirm")
        clock.now += timedelta(hours=3)
        _live(played, draw)
        first = read_back(wiring, platform, clock.now)
        clock.now += timedelta(days=2)
        last = read_back(wiring, platform, clock.now)
    outcomes = first.outcomes + last.outcomes
    for name, count in sorted(outcomes.items()):
        progress(f"nba chat read-back: {name:<16} {count:>6,}")
    used = wiring.plan_store.quota_used(plan["as_of"], plan["as_of"])
    quota = dict(used.group_by("state").agg(pl.col("contacts").sum()).iter_rows())
    progress(
        f"the quota ledger: {quota.get('spent', 0):,} spent, {quota.get('reserved', 0):,} reserved"
    )
    return Shown(synced.contacts, sent.made, outcomes, quota)


@dataclass
class _Clock:
    now: datetime

    def __call__(self) -> datetime:
        return self.now


def _populate(wiring: Wiring, played: PlayedWeCom, now: datetime) -> None:
    """Let the platform know the lake's clerks and their friends."""
    people = People.of(wiring)
    for account in people.clerks.values():
        played.hire(account)
    rows = wiring.lake.polars("friendships").filter(
        pl.col("ended_at").is_null(), pl.col("since") < now
    )
    names = dict(wiring.lake.polars("customers").select("customer_id", "name").iter_rows())
    for customer_id, clerk_id, since in rows.select("customer_id", "clerk_id", "since").iter_rows():
        if customer_id in people.contacts and clerk_id in people.clerks:
            played.befriend(
                people.clerks[clerk_id],
                people.contacts[customer_id],
                name=names.get(customer_id) or customer_id,
                createtime=int(since.timestamp()),
            )


def _live(played: PlayedWeCom, draw: Random) -> None:
    """Let customers leave, other messages come first, and most clerks confirm."""
    day = played.clock().date().isoformat()
    for msgid, task in list(played.tasks.items()):
        for one in task.states:
            if draw.random() < LEFT:
                played.leave(task.clerk, one)
            elif draw.random() < HELD_BACK:
                played.note_message(one, day)
        if draw.random() < CONFIRMED:
            played.confirm(msgid)
    for jobid in list(played.posts):
        played.publish(jobid)


@contextmanager
def _settings(wiring: Wiring, played: PlayedWeCom) -> Iterator[str]:
    """Serve the platform and let the project name it while the block lasts."""
    before = wiring.settings
    with served(played) as url:
        chat = Chat.model_validate(
            {
                **before.chat.model_dump(exclude={"secret", "callback_token", "callback_key"}),
                "platform": "wecom",
                "url": url,
                "corp_id": CORP_ID,
                "secret": SECRET,
                "modes": ["shopping_assistant", "topic_expert", "private_partner"],
            }
        )
        wiring.settings = before.model_copy(update={"chat": chat})
        try:
            yield url
        finally:
            wiring.settings = before
