"""Erase customers: from the operational store at once, and from every other place that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nba.data.erasure import Leaving, Tally
from nba.errors import NbaError, NotFoundError
from nba.pipeline.ports import ErasureReceipt, Ports


@dataclass(frozen=True)
class Followed:
    """What the places beside the operational store gave up.

    Parameters
    ----------
    tallies : mapping of str to Tally
        By place.
    problems : mapping of str to str
        Places that could not follow, and why; the next night tries again.
    """

    tallies: Mapping[str, Tally] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)

    def counts(self, customer_id: str) -> dict[str, int]:
        """Return what was there of one customer: rows and files by place."""
        counts: dict[str, int] = {}
        for place, tally in self.tallies.items():
            if customer_id in tally.rows:
                counts[f"{place}: rows"] = tally.rows[customer_id]
                counts[f"{place}: files"] = tally.files[customer_id]
        return counts


def erase(ports: Ports, customer_id: str, *, by: str | None) -> ErasureReceipt:
    """Erase one customer from everything that is kept; return the receipt.

    Doing it again takes out what may have come back since and gives the same receipt.

    Parameters
    ----------
    ports : Ports
    customer_id : str
    by : str or None
        Who asked for it.

    Raises
    ------
    NotFoundError
        When nothing that is kept knows the customer; then no tombstone is left.
    NbaError
        When a place could not follow; the erasure stays pending for the next night.
    """
    store = ports.plan_store
    known = store.receipt(customer_id)
    actions = _action_ids(ports, [customer_id])
    receipt = store.erase(customer_id, by=by)
    followed = _follow(ports, Leaving.of([customer_id], actions), {customer_id: receipt.receipt_id})
    if followed.problems:
        place, problem = next(iter(followed.problems.items()))
        raise NbaError(
            f"{place} could not follow: {problem}",
            next_step="the operational store has erased the customer; the rest follows with the "
            "next night, or when you call again",
        )
    counts = followed.counts(customer_id)
    if known is None and not counts and not any(receipt.counts.values()):
        store.withdraw_erasure(receipt.receipt_id)
        raise NotFoundError(
            f"nothing that is kept knows the customer {customer_id!r}",
            expected="a customer_id of the tables, the plans or the operational store",
            found=customer_id,
            next_step="check the id; ids are compared as text, leading zeros count",
        )
    store.complete_erasure(receipt.receipt_id, counts)
    store.purge()
    done = store.receipt(customer_id)
    assert done is not None
    return done


def erase_pending(ports: Ports) -> dict[str, Any]:
    """Let everything that is kept follow the erasures that the API took; return what went.

    A place that cannot follow now is reported, and its erasures stay pending.
    """
    store = ports.plan_store
    pending = store.pending_erasures()
    if not pending:
        return {"erasures": 0}
    ids = sorted(pending.values())
    receipts = {customer_id: receipt_id for receipt_id, customer_id in pending.items()}
    followed = _follow(ports, Leaving.of(ids, _action_ids(ports, ids)), receipts)
    if followed.problems:
        return {"erasures": 0, "waiting": len(pending), "problems": dict(followed.problems)}
    for receipt_id, customer_id in pending.items():
        again = {name: rows for name, rows in store.delete_customer(customer_id).items() if rows}
        store.complete_erasure(receipt_id, {**again, **followed.counts(customer_id)})
    store.purge()
    return {
        "erasures": len(pending),
        "rows": sum(tally.total for tally in followed.tallies.values()),
    }


def _action_ids(ports: Ports, customer_ids: Sequence[str]) -> dict[str, str]:
    """Return every action that was planned for the customers."""
    return {
        **ports.runs.action_ids(customer_ids),
        **ports.plan_store.action_ids(customer_ids),
    }


def _follow(ports: Ports, leaving: Leaving, receipts: Mapping[str, str]) -> Followed:
    """Erase from every place; one that fails does not keep the others from it.

    Before the lake forgets them, the keys by which it knows the customers go to their tombstones.
    """
    tallies, problems = {}, {}
    keys = ports.identity_keys(leaving.customer_ids)
    ports.plan_store.add_tombstone_keys(
        {receipts[customer_id]: keys[customer_id] for customer_id in keys}
    )
    for place in ports.kept_places:
        try:
            tallies[place.place] = place.erase(leaving)
        except NbaError as error:
            problems[place.place] = str(error)
    return Followed(tallies, problems)
