"""Published actions as the API shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nba.serving.schemas import (
    Candidate,
    Door,
    ListedAction,
    Name,
    PlanHeader,
    Product,
    Reason,
)
from nba.serving.services import Services

_SAME = (
    "action_id",
    "as_of",
    "clerk_id",
    "rank",
    "customer_id",
    "mode",
    "action_type",
    "channel",
    "content_id",
    "minutes",
    "value",
    "uplift",
    "p_repurchase_30d",
    "talking_point",
)
_MOMENTS = ("contact_from", "contact_to", "expires_at")


def show_actions(rows: Sequence[Mapping[str, Any]], services: Services) -> list[ListedAction]:
    """Return rows of the plan's action columns with product names.

    Windows and expiry carry the offset of the store's time zone.
    """
    ids = {product_id for row in rows for product_id in row.get("product_ids") or ()}
    products = services.cards.product_names(sorted(ids)) if ids else {}
    types = services.catalogue.actions if services.catalogue else ()
    names = {one.action_type: Name(zh=one.name.zh, en=one.name.en) for one in types}
    now = services.clock()
    return [_show(row, products, names, services, now) for row in rows]


def _show(
    row: Mapping[str, Any],
    products: Mapping[str, str],
    names: Mapping[str, Name],
    services: Services,
    now: datetime,
) -> ListedAction:
    zone = services.zone_of_clerk(row.get("clerk_id"))
    moments = {
        name: services.aware(row[name]).astimezone(zone) if row.get(name) is not None else None
        for name in _MOMENTS
    }
    expires_at = moments["expires_at"]
    return ListedAction(
        **{name: row.get(name) for name in _SAME},
        **moments,
        action_name=names.get(str(row.get("action_type"))),
        products=[
            Product(product_id=product_id, name=products.get(product_id))
            for product_id in row.get("product_ids") or ()
        ],
        reasons=[Reason.model_validate(reason) for reason in row.get("reasons") or ()],
        expired=expires_at is not None and expires_at <= now,
        status=row.get("status", "new"),
    )


def show_plan(header: Mapping[str, Any], services: Services) -> PlanHeader:
    """Return a plan's header as the API shows it."""
    age_days = services.age_days(header["as_of"])
    known = {
        **header,
        "published_at": services.local(header["published_at"]),
        "age_days": age_days,
        "stale": age_days != 0,
    }
    return PlanHeader(**{name: known[name] for name in PlanHeader.model_fields})


#: What is said of a candidate beside its factors.
_PLAIN = frozenset(
    {"action_type", "mode", "stage", "why", "need", "category", "value", "minutes", "door"}
    | {"door_zh", "door_en", "opens_on", "price_per_minute"}
)


def show_candidates(
    rows: Sequence[Mapping[str, Any]], services: Services, *, profiled: bool
) -> list[Candidate]:
    """Return candidates as the API shows them; without profiling, without what models said."""
    types = services.catalogue.actions if services.catalogue else ()
    names = {one.action_type: Name(zh=one.name.zh, en=one.name.en) for one in types}
    return [
        Candidate(
            action_type=row["action_type"],
            action_name=names.get(row["action_type"]),
            mode=row["mode"],
            open=not row["door"],
            door=Door(
                code=row["door"],
                zh=row["door_zh"],
                en=row["door_en"],
                opens_on=row["opens_on"],
            )
            if row["door"]
            else None,
            need=row["need"] if profiled else None,
            category=row["category"] if profiled else None,
            value=_finite(row["value"]) if profiled else None,
            minutes=row["minutes"],
            factors={name: _finite(row[name]) for name in row if name not in _PLAIN}
            if profiled
            else {},
        )
        for row in rows
    ]


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
