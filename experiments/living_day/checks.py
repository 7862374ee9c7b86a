"""What must hold of every list at every step of a day, read from nothing but the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl
from sqlalchemy import select

from nba.schema.words import Mode
from nba.stores.operational import OperationalStore
from nba.stores.schema import consents, feedback, outbox
from nba.wiring import Wiring

#: Signals of the outbox after which a customer is contacted no more on that day.
_CLOSING = ("bought", "contacted", "blocked", "ended")


@dataclass(frozen=True)
class Rules:
    """What the lake says of customers before the day.

    Parameters
    ----------
    refused : set of str
        Who does not consent to contact, or blocked.
    friends : set of str
        Who is a clerk's friend.
    resting : set of str
        Who was contacted too lately or too often for a contact on the day that is no answer to a
        case of their own.
    services : frozenset of str
        Action types that a complaint does not close.
    """

    refused: set[str]
    friends: set[str]
    resting: set[str]
    services: frozenset[str]

    @classmethod
    def of(cls, wiring: Wiring, day: date) -> Rules:
        """Return the rules for a day, from the tables as they stand at its begin."""
        moment = datetime.combine(day, time())
        tables = wiring.tables.at(moment)
        policy = wiring.decision_files.policy
        customers = tables["customers"].select("customer_id", "consent_contact").to_polars()
        friendships = tables["friendships"].to_polars()
        contacts = (
            tables["interactions"]
            .to_polars()
            .filter(
                (pl.col("mode") != Mode.NONE)
                & ~pl.col("channel").is_in([str(one) for one in policy.uncounted_channels])
            )
        )
        rest = min(one.any_mode for one in policy.cool_down.values())
        limits = ((1, rest - 1), (policy.caps.per_week, 7), (policy.caps.per_month, 30))
        resting: set[str] = set()
        for most, days in limits:
            since = contacts.filter(pl.col("ts") >= moment - timedelta(days=days))
            often = since.group_by("customer_id").len().filter(pl.col("len") >= most)
            resting |= set(often["customer_id"])
        blocked = tables["responses"].filter(tables["responses"].kind == "blocked").to_polars()
        known = contacts.select("interaction_id", who="customer_id")
        who = blocked.join(known, on="interaction_id", how="left").select(
            customer_id=pl.coalesce("customer_id", "who"), at="ts"
        )
        since = friendships.group_by("customer_id").agg(pl.col("since").max())
        still = who.join(since, on="customer_id", how="left").filter(
            pl.col("since").is_null() | (pl.col("since") <= pl.col("at"))
        )
        refused = customers.filter(~pl.col("consent_contact").fill_null(True))["customer_id"]
        catalogue = wiring.decision_files.catalogue.actions
        return cls(
            refused={*refused, *still["customer_id"]},
            friends=set(friendships.filter(pl.col("ended_at").is_null())["customer_id"]),
            resting=resting,
            services=frozenset(one.action_type for one in catalogue if one.service),
        )


def broken_rules(
    store: OperationalStore,
    lists: Mapping[str, Sequence[Mapping[str, Any]]],
    sent: Mapping[str, Mapping[str, Any]],
    spent: Mapping[str, float],
    minutes: Mapping[str, float],
    rules: Rules,
    day: date,
) -> list[str]:
    """Return the names of the rules that lists break, empty where all hold.

    Parameters
    ----------
    store : OperationalStore
    lists : mapping of str to sequence of mapping
        Open actions by clerk.
    sent : mapping of str to mapping
        What was sent today, by action_id.
    spent, minutes : mapping of str to float
        By clerk: minutes of what was sent, and of the night's list.
    rules : Rules
    day : date
    """
    heard = _heard(store)
    rows = [row for of_clerk in lists.values() for row in of_clerk]
    people = [row["customer_id"] for row in rows]
    reached = [row["customer_id"] for row in sent.values()]
    selling = {row["customer_id"] for row in rows if row["action_type"] not in rules.services}
    sold_to = {r["customer_id"] for r in sent.values() if r["action_type"] not in rules.services}
    own = {name: sum(r["minutes"] for r in lists[name] if not _came_over(r)) for name in lists}
    broken = {
        "a customer on two lists": len(set(people)) < len(people),
        "a customer contacted twice": len(set(reached)) < len(reached),
        "listed after being contacted": bool(set(people) & set(reached)),
        "listed after a purchase, contact, block or end": bool(set(people) & heard["closed"]),
        "sold to after a complaint": bool(selling & heard["complained"]),
        "listed after opting out": bool(set(people) & heard["opted_out"]),
        "a closed action listed": bool({row["action_id"] for row in rows} & heard["actions"]),
        "refused or blocked before the day": bool({*people, *reached} & rules.refused),
        "no friend": bool(
            {r["customer_id"] for r in rows if r["channel"] == "chat"} - rules.friends
        ),
        "sold to too often": bool((selling | sold_to) & rules.resting),
        "minutes overrun": any(
            own[name] + spent.get(name, 0.0) > minutes[name] + 1e-6 for name in own
        ),
        "a propensity that is none": any(not 0 < (row["propensity"] or 0) <= 1 for row in rows),
    }
    return [name for name, is_broken in broken.items() if is_broken]


def _came_over(row: Mapping[str, Any]) -> bool:
    """Return whether an urgent action came from a colleague who fell out."""
    return (row.get("from_clerk_id") or (row.get("details") or {}).get("from_clerk_id")) is not None


def _heard(store: OperationalStore) -> dict[str, set[str]]:
    """Return who was heard of today, and which actions were closed."""
    with store.database.reading() as connection:
        signals = connection.execute(
            select(outbox.c.customer_id, outbox.c.signal).where(outbox.c.signal.is_not(None))
        ).all()
        no = connection.scalars(
            select(consents.c.customer_id).where(consents.c.is_latest, ~consents.c.consent_contact)
        ).all()
        closed = connection.scalars(select(feedback.c.action_id)).all()
    return {
        "closed": {str(one) for one, signal in signals if signal in _CLOSING},
        "complained": {str(one) for one, signal in signals if signal == "complained"},
        "opted_out": set(no),
        "actions": set(closed),
    }
