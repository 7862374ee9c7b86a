"""Stock that changed since the night: what is sold out leaves lists, and is back with the goods."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from nba.stores import books
from nba.stores.database import Quick
from nba.stores.schema import actions, plans, reserves, stock_now, withdrawn

#: Why an action left a list.
SOLD_OUT = "sold_out"
_CHUNK = 500
_NEWEST = select(func.max(plans.c.as_of)).scalar_subquery()


@dataclass(frozen=True)
class StockChange:
    """What a store has of a product at a moment (UTC)."""

    product_id: str
    store_id: str
    on_hand: float
    ts: datetime


def note(
    connection: Connection,
    found: Sequence[StockChange],
    clerks_of: Callable[[str], Collection[str]],
) -> None:
    """Keep what stores have, and work it into the lists of their clerks.

    An action none of whose products is left is withdrawn, on lists and in reserve; with the first
    of its products that comes back it stands again.

    Parameters
    ----------
    connection : Connection
        Within a transaction.
    found : sequence of StockChange
        An older one than what is known changes nothing.
    clerks_of : callable
        Returns the clerks of a store.
    """
    by_store: dict[str, set[str]] = {}
    for one in sorted(found, key=lambda one: one.ts):
        if _keep(connection, one):
            by_store.setdefault(one.store_id, set()).add(one.product_id)
    for store_id, product_ids in sorted(by_store.items()):
        clerk_ids = sorted(clerks_of(store_id))
        for start in range(0, len(clerk_ids), _CHUNK):
            _work_in(connection, store_id, product_ids, clerk_ids[start : start + _CHUNK])


def _keep(connection: Connection, change: StockChange) -> bool:
    """Keep the stock of a product, unless something newer is known; return whether it was kept."""
    its = (stock_now.c.store_id == change.store_id) & (stock_now.c.product_id == change.product_id)
    known = connection.scalar(select(stock_now.c.ts).where(its))
    if known is not None and known > change.ts:
        return False
    connection.execute(delete(stock_now).where(its))
    connection.execute(insert(stock_now), vars(change))
    return True


def _work_in(
    connection: Connection, store_id: str, product_ids: set[str], clerk_ids: Sequence[str]
) -> None:
    """Withdraw the actions of some clerks that bring nothing any more, and bring others back.

    Parameters
    ----------
    connection : Connection
    store_id : str
    product_ids : set of str
        Whose stock changed.
    clerk_ids : sequence of str
        Of the store.
    """
    gone = sold_out(connection, store_id)
    concerned, touched, out = [], set(), []
    for action_id, clerk_id, brings, is_listed in _actions(connection, clerk_ids):
        if product_ids.isdisjoint(brings):
            continue
        concerned.append(action_id)
        if is_listed:
            touched.add(clerk_id)
        if gone.issuperset(brings):
            out.append(action_id)
    for start in range(0, len(concerned), _CHUNK):
        part = concerned[start : start + _CHUNK]
        connection.execute(delete(withdrawn).where(withdrawn.c.action_id.in_(part)))
    if out:
        rows = [{"action_id": one, "reason": SOLD_OUT} for one in dict.fromkeys(out)]
        connection.execute(insert(withdrawn), rows)
    books.touch_clerks(connection, sorted(touched))


def _actions(
    connection: Connection, clerk_ids: Sequence[str]
) -> Iterator[tuple[str, str, list[str], bool]]:
    """Yield the newest plan's actions, those in reserve too: id, clerk, products, on a list."""
    listed = select(actions.c.action_id, actions.c.clerk_id, actions.c.product_ids).where(
        actions.c.as_of == _NEWEST, actions.c.clerk_id.in_(clerk_ids)
    )
    for row in connection.execute(listed):
        yield row.action_id, row.clerk_id, row.product_ids or [], True
    waiting = select(reserves.c.action_id, reserves.c.clerk_id, reserves.c.action).where(
        reserves.c.as_of == _NEWEST, reserves.c.clerk_id.in_(clerk_ids)
    )
    for row in connection.execute(waiting):
        yield row.action_id, row.clerk_id, row.action.get("product_ids") or [], False


_SOLD_OUT = select(stock_now.c.product_id).where(
    stock_now.c.store_id == bindparam("store"), stock_now.c.on_hand <= 0
)


def sold_out(connection: Connection, store_id: str) -> set[str]:
    """Return the products that a store has no more, as it was told since the night."""
    return set(connection.scalars(_SOLD_OUT, {"store": store_id}))


#: What differs as soon as a store's stock is told anew; parameter `store`.
MARK: Final = Quick(
    select(func.count(), func.max(stock_now.c.ts)).where(stock_now.c.store_id == bindparam("store"))
)


def forget(connection: Connection) -> None:
    """Forget what was told: a new plan stands on it."""
    for table in (stock_now, withdrawn):
        connection.execute(delete(table))
