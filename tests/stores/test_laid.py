"""Cards laid ready, on every store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
from sqlalchemy import select

from nba.stores.laid import LaidCard, as_heard
from nba.stores.operational import OperationalStore
from nba.stores.people import Consent
from nba.stores.schema import laid_cards

Actions = Callable[..., pl.DataFrame]
DAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)
PLAN = {"as_of": DAY, "policy_version": "p1"}


def laid_for(store: OperationalStore, customer_id: str) -> LaidCard | None:
    mark = store.customer_mark(customer_id)
    return store.laid_card(customer_id, as_heard(mark, 7), "settings")


def test_a_card_is_given_while_what_it_was_made_with_stands(
    store: OperationalStore, make_actions: Actions
) -> None:
    store.publish(PLAN, make_actions())
    day, digest = store.mark() or (DAY, "")
    card = LaidCard([None, None, None, 7], NOW, NOW + timedelta(hours=1), '{"name":"王"'.encode())
    cards = dict.fromkeys(("c11", "c12", "c13"), card)
    store.lay_cards(day, digest, "settings", cards)
    assert laid_for(store, "c11") == card
    assert store.laid_card("c11", card.heard, "other settings") is None
    assert store.laid_card("c11", [None, None, None, 8], "settings") is None
    assert laid_for(store, "c99") is None
    store.lay_cards(day, digest, "settings", {"c11": replace(card, text=b"{")})
    assert (laid_for(store, "c11") or card).text == b"{"
    store.put_consent("c12", Consent(True, False, NOW))
    assert laid_for(store, "c12") is None
    store.erase("c13")
    store.lay_cards(day, digest, "settings", cards)
    with store.database.reading() as connection:
        assert set(connection.scalars(select(laid_cards.c.customer_id))) == {"c11", "c12"}
    tomorrow = DAY + timedelta(days=1)
    store.publish(PLAN | {"as_of": tomorrow}, make_actions(tomorrow))
    assert laid_for(store, "c11") is None
    with store.database.reading() as connection:
        assert connection.execute(select(laid_cards)).all() == []
