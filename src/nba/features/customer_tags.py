"""Customer tags: those of clerks, imports and models that stand at a moment. Long."""

from __future__ import annotations

from datetime import datetime

import ibis
from ibis.expr import types as ir

from nba.features import prepare
from nba.features.view import Feature, Tables, View
from nba.schema.words import CUSTOMER_ID, TagSource

#: Who wins where two sources name the same tag.
PRECEDENCE = (TagSource.CLERK, TagSource.IMPORT, TagSource.MODEL, TagSource.RULE)


def declared(tables: Tables, as_of: datetime) -> ir.Table:
    """Return the tags that stand at `as_of`: the latest per source, not expired."""
    rows = tables["tags"]
    rows = rows.filter(prepare.before(rows.ts, as_of)).mutate(
        source=rows.source.fill_null(str(TagSource.IMPORT))
    )
    window = ibis.window(group_by=[CUSTOMER_ID, "tag", "source"], order_by=ibis.desc("ts"))
    ranked = rows.mutate(place=ibis.row_number().over(window))
    expired = prepare.before(ranked.expires_at, as_of) | (
        ranked.expires_at == ibis.timestamp(as_of)
    ).fill_null(False)
    return ranked.filter((ranked.place == 0) & ~expired).select(
        CUSTOMER_ID, "tag", "value", "source", "ts", "expires_at"
    )


def strongest(tags: ir.Table) -> ir.Table:
    """Return one row per customer and tag: that of the source which knows best."""
    rank = ibis.cases(
        *((tags.source == str(source), ibis.literal(i)) for i, source in enumerate(PRECEDENCE)),
        else_=ibis.literal(len(PRECEDENCE)),
    )
    window = ibis.window(group_by=[CUSTOMER_ID, "tag"], order_by="rank")
    ranked = tags.mutate(rank=rank)
    ranked = ranked.mutate(place=ibis.row_number().over(window))
    return ranked.filter(ranked.place == 0).drop("rank", "place")


def build(tables: Tables, as_of: datetime) -> ir.Table:
    """Return the tags that stand at `as_of`, one row per customer and tag."""
    return strongest(declared(tables, as_of))


VIEW = View(
    "customer_tags",
    (CUSTOMER_ID, "tag"),
    build,
    (
        Feature("value", "string", "the tag's value", null_rule="null for a tag without one"),
        Feature("source", "string", "clerk, import, model or rule"),
        Feature("ts", "timestamp", "since when it stands"),
        Feature("expires_at", "timestamp", "until when", null_rule="null for no expiry"),
    ),
    "What is known about a customer by name.",
)
