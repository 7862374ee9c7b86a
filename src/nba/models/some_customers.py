"""At most so many customers, where an estimate needs no more: as an expression of any engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis

from nba.schema.words import CUSTOMER_ID


def drawn_customers(customers: Any, most: int, *, seed: int) -> Any:
    """Return the ids of at most so many customers: the first by a hash of seed and id.

    The same ids are drawn on every engine and, but for who is new, at every moment.

    Parameters
    ----------
    customers : ibis.Table
        With customer_id, once each.
    most : int
    seed : int

    Returns
    -------
    ibis.Table
        customer_id.
    """
    salted = ibis.literal(f"{seed}:").concat(customers[CUSTOMER_ID])
    hashed = customers.select(CUSTOMER_ID, draw=salted.hexdigest("md5"))
    return hashed.order_by("draw", CUSTOMER_ID).limit(most).select(CUSTOMER_ID)


def some_customers(tables: Mapping[str, Any], most: int, *, seed: int) -> Mapping[str, Any]:
    """Return the tables with every n-th customer where there are more than `most`, else all.

    Who is drawn hangs on the id alone, not on what was done with the customer or came of it, so
    that chances that were logged still hold.

    Parameters
    ----------
    tables : mapping of str to ibis.Table
        The tables of the contract.
    most : int
    seed : int
        Which of each n, in the order of the ids.

    Returns
    -------
    mapping of str to ibis.Table
        Those that name customers hold the ones that were drawn, `responses` also what answers a
        contact with them; the others as they are. The same mapping where nobody is left out.
    """
    customers = tables["customers"].select(CUSTOMER_ID).distinct()
    every = -(-int(customers.count().execute()) // most)
    if every <= 1:
        return tables
    place = ibis.row_number().over(order_by=customers[CUSTOMER_ID])
    drawn = customers.mutate(place=place).filter(ibis._.place % every == seed % every)
    drawn = drawn.select(CUSTOMER_ID)
    fewer = {
        name: table.semi_join(drawn, CUSTOMER_ID) if CUSTOMER_ID in table.columns else table
        for name, table in tables.items()
        if name != "responses"
    }
    said, made = tables["responses"], fewer["interactions"]
    by_contact = said.interaction_id.isin(made.interaction_id)
    fewer["responses"] = said.filter(by_contact | said.customer_id.isin(drawn[CUSTOMER_ID]))
    return fewer
