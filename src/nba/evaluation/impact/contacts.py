"""What became of the listed actions: funnel, relations, yardsticks as they look, content."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from nba.arrays import Floats
from nba.evaluation.arm_effects import difference
from nba.evaluation.impact.inputs import ImpactInputs
from nba.schema.words import ENGAGED_RESPONSES, NEGATIVE_RESPONSES, FeedbackKind, Mode, ResponseKind

STAGES: Final = ("planned", "shown", "sent", "delivered", "read", "replied", "bought")
#: Each stage implies those before it.
_SEEN: Final = [str(kind) for kind in FeedbackKind if kind is not FeedbackKind.EXPIRED]
_READ: Final = (str(ResponseKind.READ), *map(str, ENGAGED_RESPONSES))
_REPLIED: Final = tuple(
    str(kind) for kind in ENGAGED_RESPONSES if kind is not ResponseKind.PURCHASED
)
#: Content sent less often than this is not judged.
MIN_SENT: Final = 20


def contacts_with_answers(inputs: ImpactInputs) -> pl.DataFrame:
    """Return the contacts of the period with what followed each.

    Columns: those of interactions, `day`, and whether it was `delivered, read, replied`, whether
    a `negative` answer came, and whether the customer `bought` within the outcome days.
    """
    kinds = inputs.responses.filter(pl.col("interaction_id").is_not_null())
    answered = kinds.group_by("interaction_id").agg(
        delivered=pl.len() > 0,
        read=pl.col("kind").is_in(_READ).any(),
        replied=pl.col("kind").is_in(_REPLIED).any(),
        negative=pl.col("kind").is_in([str(kind) for kind in NEGATIVE_RESPONSES]).any(),
    )
    made = inputs.contacts.with_columns(day=pl.col("ts").dt.date()).join(
        answered, on="interaction_id", how="left"
    )
    bought = (
        made.select("interaction_id", "customer_id", "day")
        .join(
            inputs.days.filter(pl.col("orders") > 0).select("customer_id", on="day"),
            on="customer_id",
        )
        .filter(
            pl.col("on").is_between(
                pl.col("day"), pl.col("day") + pl.duration(days=inputs.outcome_days - 1)
            )
        )
        .select("interaction_id", bought=pl.lit(True))
        .unique()
    )
    flags = ("delivered", "read", "replied", "negative", "bought")
    return made.join(bought, on="interaction_id", how="left").with_columns(
        pl.col(flags).fill_null(False)
    )


def funnel_table(inputs: ImpactInputs, contacts: pl.DataFrame) -> pl.DataFrame:
    """Return how many listed actions came how far, by mode and in all (`mode` null).

    A later stage implies the earlier ones: what was sent was shown, what was answered was read.
    `bought` is every purchase in the outcome days after the contact, caused by it or not.
    """
    seen = inputs.feedback.group_by("action_id").agg(
        shown=pl.col("kind").is_in(_SEEN).any(),
        said_sent=(pl.col("kind") == str(FeedbackKind.SENT)).any(),
    )
    made = (
        contacts.filter(pl.col("action_id").is_not_null())
        .group_by("action_id")
        .agg(pl.lit(True).alias("made"), pl.col("delivered", "read", "replied", "bought").any())
    )
    rows = (
        inputs.actions.join(seen, on="action_id", how="left")
        .join(made, on="action_id", how="left")
        .with_columns(
            pl.col(
                "shown", "said_sent", "made", "delivered", "read", "replied", "bought"
            ).fill_null(False)
        )
        .with_columns(sent=pl.col("said_sent") | pl.col("made"))
        .with_columns(shown=pl.col("shown") | pl.col("sent"))
    )
    counts = [pl.len().alias("planned"), *(pl.col(name).sum() for name in STAGES[1:])]
    by_mode = rows.group_by("mode").agg(counts).sort("mode")
    everything = rows.select(pl.lit(None, dtype=pl.String).alias("mode"), *counts)
    return pl.concat([everything, by_mode]).with_columns(pl.col(STAGES).cast(pl.Int64))


def relations_table(inputs: ImpactInputs) -> pl.DataFrame:
    """Return friends won and lost and group members joined and left in the period: what, count."""
    friends, members = inputs.friendships, inputs.memberships
    counts = {
        "friends_added": _within(inputs, friends, "since"),
        "friends_lost": _within(inputs, friends, "ended_at"),
        "group_joins": _within(inputs, members, "joined_at"),
        "group_leaves": _within(inputs, members, "left_at"),
    }
    return pl.DataFrame({"what": list(counts), "count": list(counts.values())})


def _within(inputs: ImpactInputs, table: pl.DataFrame, column: str) -> int:
    day = pl.col(column).cast(pl.Datetime("us")).dt.date()
    return table.filter(day.is_between(inputs.first, inputs.last)).height


def raw_yardsticks(inputs: ImpactInputs, contacts: pl.DataFrame) -> pl.DataFrame:
    """Return how the contacted bought against the equally long time before: as it looks, not why.

    Returns
    -------
    DataFrame
        mode (of most of the customer's contacts; null: all contacted), customers, and the
        relative changes `active`, `repurchasing`, `frequency`, `order_value`.
    """
    length = timedelta(days=(inputs.last - inputs.first).days + 1)
    mostly = (
        contacts.group_by("customer_id", "mode")
        .len()
        .sort("len", "mode", descending=[True, False])
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", "mode")
    )
    spans = {
        "now": (inputs.first, inputs.last),
        "before": (inputs.first - length, inputs.first - timedelta(days=1)),
    }
    rows = mostly
    for name, (start, end) in spans.items():
        part = inputs.days.filter(pl.col("day").is_between(start, end))
        earlier = inputs.days.filter((pl.col("day") < start) & (pl.col("orders") > 0))
        bought = part.group_by("customer_id").agg(
            pl.col("orders").sum().alias(f"orders_{name}"),
            pl.col("amount").sum().alias(f"amount_{name}"),
        )
        known = earlier.select("customer_id", pl.lit(True).alias(f"known_{name}")).unique()
        rows = rows.join(bought, on="customer_id", how="left").join(
            known, on="customer_id", how="left"
        )
    rows = rows.with_columns(
        pl.col("^(orders|amount)_.*$").fill_null(0), pl.col("^known_.*$").fill_null(False)
    )
    everyone = rows.with_columns(mode=pl.lit(None, dtype=pl.String))
    both = pl.concat([everyone, rows])
    return both.group_by("mode").agg(customers=pl.len(), **_changes()).sort(
        pl.col("mode").is_not_null(), "mode"
    )  # fmt: skip


def _changes() -> dict[str, pl.Expr]:
    """Return the yardsticks of now over those before, less one."""

    def sums(name: str) -> dict[str, pl.Expr]:
        orders, amount = pl.col(f"orders_{name}"), pl.col(f"amount_{name}")
        active = (orders > 0).sum()
        again = ((orders > 0) & (pl.col(f"known_{name}") | (orders > 1))).sum()
        return {
            "active": active,
            "repurchasing": again,
            "frequency": orders.sum() / active,
            "order_value": amount.sum() / orders.sum(),
        }

    now, before = sums("now"), sums("before")
    ratios = {name: now[name] / before[name] - 1 for name in now}
    return {name: pl.when(ratio.is_finite()).then(ratio) for name, ratio in ratios.items()}


def content_table(inputs: ImpactInputs, contacts: pl.DataFrame) -> pl.DataFrame:
    """Return how each content fared, and whether it tires.

    Returns
    -------
    DataFrame
        content (its id, or the action type where there is none), title, mode, sent, read_rate,
        reply_rate, buy_rate, negative_rate; `early_rate` and `late_rate`, the share that answered
        in the first and in the last half of its sends; `change` of these with `change_lower` and
        `change_upper`, and `tires`: whether the change is below zero beyond doubt.
    """
    named = contacts.with_columns(content=pl.coalesce("content_id", "action_type")).filter(
        pl.col("content").is_not_null()
    )
    rows: list[dict[str, Any]] = []
    for (name, mode), part in named.sort("ts", "interaction_id").group_by(
        "content", "mode", maintain_order=True
    ):
        if part.height < MIN_SENT:
            continue
        engaged = part["replied"].cast(pl.Float64).to_numpy()
        rows.append(
            {
                "content": name,
                "mode": mode,
                "sent": part.height,
                **{
                    f"{rate}_rate": float(part[flag].mean() or 0.0)  # type: ignore[arg-type]
                    for rate, flag in {
                        "read": "read",
                        "reply": "replied",
                        "buy": "bought",
                        "negative": "negative",
                    }.items()
                },
                **_tiring(engaged, part["customer_id"]),
            }
        )
    rates = ("read_rate", "reply_rate", "buy_rate", "negative_rate")
    changes = ("early_rate", "late_rate", "change", "change_lower", "change_upper")
    table = pl.DataFrame(
        rows,
        schema={
            "content": pl.String,
            "mode": pl.String,
            "sent": pl.Int64,
            **dict.fromkeys((*rates, *changes), pl.Float64),
            "tires": pl.Boolean,
        },
    )
    titles = inputs.content.select("content_id", "title")
    return (
        table.join(titles, left_on="content", right_on="content_id", how="left")
        .select("content", "title", pl.exclude("content", "title"))
        .sort("reply_rate", "content", descending=[True, False])
    )


def _tiring(engaged: Floats, customer: pl.Series) -> dict[str, float | bool]:
    late = np.arange(len(engaged)) >= len(engaged) / 2
    effect = difference(engaged, late, cluster=customer.rank("dense").to_numpy())
    return {
        "early_rate": effect.control_mean,
        "late_rate": effect.treated_mean,
        "change": effect.estimate,
        "change_lower": effect.lower,
        "change_upper": effect.upper,
        "tires": bool(effect.upper < 0),
    }


def modes_in_order(found: pl.DataFrame) -> pl.DataFrame:
    """Return rows of modes in the order of the modes, the row of all (null) first."""
    order = {str(mode): place for place, mode in enumerate(Mode, start=1)}
    return found.sort(pl.col("mode").replace_strict(order, default=0, return_dtype=pl.Int64))
