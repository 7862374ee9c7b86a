"""What, when and why of the actions that were drawn: the rows that a clerk sees."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from nba.decisions.action_types import ActionType, Brings
from nba.decisions.brought import NEED_FACTS, what_is_brought
from nba.decisions.inputs import DecisionInputs
from nba.decisions.ordering import placed
from nba.decisions.reasons import REASON_TYPE, phrase_flags, reasons_of
from nba.decisions.rules import DecisionRules
from nba.decisions.talking import TalkingPoints, spoken_facts
from nba.decisions.when import contact_windows, known_reach, reachable_hours
from nba.schema.words import Mode

#: The columns of `nba actions export`, in order.
ACTION_SCHEMA: Final[Mapping[str, Any]] = {
    "action_id": pl.String,
    "as_of": pl.Datetime("us"),
    "clerk_id": pl.String,
    "rank": pl.Int64,
    "customer_id": pl.String,
    "mode": pl.String,
    "action_type": pl.String,
    "channel": pl.String,
    "product_ids": pl.List(pl.String),
    "content_id": pl.String,
    "contact_from": pl.Datetime("us"),
    "contact_to": pl.Datetime("us"),
    "minutes": pl.Float64,
    "value": pl.Float64,
    "uplift": pl.Float64,
    "p_repurchase_30d": pl.Float64,
    "propensity": pl.Float64,
    "explored": pl.Boolean,
    "arm": pl.String,
    "reasons": REASON_TYPE,
    "talking_point": pl.String,
    "policy_version": pl.String,
    "model_versions": pl.String,
    "expires_at": pl.Datetime("us"),
}


def action_id(as_of: datetime, customer_id: str, action_type: str) -> str:
    """Return the id of an action: the same for the same day, customer and action type."""
    content = json.dumps([as_of.isoformat(), customer_id, action_type], ensure_ascii=False)
    return "a" + hashlib.blake2b(content.encode(), digest_size=12).hexdigest()


def write_actions(
    inputs: DecisionInputs,
    drawn: pl.DataFrame,
    facts: pl.DataFrame,
    rules: DecisionRules,
    *,
    as_of: datetime,
) -> pl.DataFrame:
    """Return the actions of `drawn` with products, window, reasons and talking point.

    Parameters
    ----------
    drawn : DataFrame
        Rows of the decision log; `action_type` null marks a customer who is held out.
    facts : DataFrame
        `TEXT_FACTS` of at least the customers with an action.
    """
    contacts = drawn.filter(pl.col("action_type").is_not_null()).sort("customer_id")
    held_out = drawn.filter(pl.col("action_type").is_null())
    return pl.concat(
        [
            _contacts(inputs, contacts, facts, rules, as_of=as_of),
            _held_out(inputs, held_out, as_of=as_of),
        ]
    ).sort("clerk_id", "rank", "customer_id", nulls_last=True)


def _contacts(
    inputs: DecisionInputs,
    contacts: pl.DataFrame,
    facts: pl.DataFrame,
    rules: DecisionRules,
    *,
    as_of: datetime,
) -> pl.DataFrame:
    if not contacts.height:
        return pl.DataFrame(schema=dict(ACTION_SCHEMA))
    here = inputs.of_customers(contacts["customer_id"])
    rows = _ranked(_with_context(here, contacts, facts, rules))
    starts, ends = contact_windows(rows, as_of=as_of, policy=rules.policy)
    brought = what_is_brought(here, rows, rules, as_of=as_of)
    rows = rows.with_columns(brought.select(*NEED_FACTS, "product_name"))
    texts = _texts(rows, brought, here, rules, as_of)
    frame = rows.with_columns(
        starts,
        ends,
        *[pl.Series(name, values, dtype=ACTION_SCHEMA[name]) for name, values in texts.items()],
        p_repurchase_30d=pl.col("p_purchase_30d"),
        expires_at=pl.lit(as_of)
        + pl.duration(days="expires_days")
        - pl.duration(minutes=pl.col("ahead_minutes").fill_null(0.0).cast(pl.Int64)),
    )
    return frame.select([pl.col(name).cast(dtype) for name, dtype in ACTION_SCHEMA.items()])


def _ranked(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows in the order of the clerks' lists; see `placed`."""
    return placed(rows, -pl.col("value")).sort("clerk_id", "rank")


def _with_context(
    inputs: DecisionInputs, contacts: pl.DataFrame, facts: pl.DataFrame, rules: DecisionRules
) -> pl.DataFrame:
    """Add the customer's facts, the clerk's names and hours, and what the action type says."""
    types = pl.DataFrame(
        [
            (action.action_type, str(action.channel), action.service, action.expires_days)
            for action in rules.catalogue.actions
        ],
        schema={
            "action_type": pl.String,
            "channel": pl.String,
            "service": pl.Boolean,
            "expires_days": pl.Int64,
        },
        orient="row",
    )
    rows = contacts
    for part, key in (
        (facts, "customer_id"),
        (_persons(inputs), "customer_id"),
        (_names(inputs), "clerk_id"),
        (reachable_hours(inputs["clerk"], rules.policy), "clerk_id"),
        (inputs["clocks"].select("clerk_id", "ahead_minutes"), "clerk_id"),
        (known_reach(inputs), "customer_id"),
        (types, "action_type"),
    ):
        rows = rows.join(part, on=key, how="left", maintain_order="left")
    return rows


def _persons(inputs: DecisionInputs) -> pl.DataFrame:
    """Return what a customer is called by."""
    names = inputs["names"].unique("customer_id", keep="first", maintain_order=True)
    return names.select(
        "customer_id", person_name="name", person_alias="alias", person_gender="gender"
    )


def _names(inputs: DecisionInputs) -> pl.DataFrame:
    stores = inputs.tables.get("store")
    clerks = inputs["clerk"].select("clerk_id", clerk_store="store_id", clerk_name="name")
    if stores is None or "name" not in stores.columns:
        return clerks.with_columns(store_name=pl.lit(None, dtype=pl.String))
    return clerks.join(
        stores.select(clerk_store="store_id", store_name="name"), on="clerk_store", how="left"
    )


def _held_out(inputs: DecisionInputs, held_out: pl.DataFrame, *, as_of: datetime) -> pl.DataFrame:
    timing = inputs["timing"].select("customer_id", p_repurchase_30d="p_purchase_30d")
    may = inputs["customer_state"].filter(pl.col("consent_profiling")).select("customer_id")
    known = timing.join(may, on="customer_id", how="semi")
    rows = held_out.join(known, on="customer_id", how="left")
    ids = [action_id(as_of, customer, str(Mode.NONE)) for customer in rows["customer_id"]]
    rows = rows.with_columns(
        pl.Series("action_id", ids, dtype=pl.String),
        expires_at=pl.lit(as_of + timedelta(days=1)),
    )
    return rows.select(
        [
            (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in ACTION_SCHEMA.items()
        ]
    )


def _weights(inputs: DecisionInputs) -> dict[str, dict[str, float]]:
    """Return the models' contributions per customer and feature, where they are given."""
    given: dict[str, dict[str, float]] = {}
    rows = inputs["contributions"].drop_nulls()
    for customer, feature, contribution in rows.sort("customer_id", "feature").iter_rows():
        given.setdefault(customer, {})[feature] = contribution
    return given


def _texts(
    rows: pl.DataFrame,
    brought: pl.DataFrame,
    inputs: DecisionInputs,
    rules: DecisionRules,
    as_of: datetime,
) -> dict[str, list[Any]]:
    """Return ids, reasons and talking points; grows with the clerks' minutes only."""
    by_name = {action.action_type: action for action in rules.catalogue.actions}
    categories = rules.texts.category_names(dict(inputs["categories"].iter_rows()))
    weights = _weights(inputs)
    writer = TalkingPoints.of(
        rules.texts, inputs["said"], as_of=as_of, locale=rules.settings.locale
    )
    texts: dict[str, list[Any]] = {
        name: [] for name in ("action_id", "product_ids", "content_id", "reasons", "talking_point")
    }
    for facts, flags, item in zip(
        rows.iter_rows(named=True),
        phrase_flags(rows).iter_rows(named=True),
        brought.iter_rows(named=True),
        strict=True,
    ):
        action = by_name[facts["action_type"]]
        customer = facts["customer_id"]
        spoken = spoken_facts(facts, categories)
        texts["action_id"].append(action_id(as_of, customer, action.action_type))
        texts["product_ids"].append(item["product_ids"] or [])
        texts["content_id"].append(_content_of(action, item))
        texts["reasons"].append(reasons_of(spoken, flags, action, weights.get(customer)))
        texts["talking_point"].append(writer.write(action, spoken, item))
    return texts


def _content_of(action: ActionType, item: Mapping[str, Any]) -> str | None:
    """Return the id of what is brought beside products: content or an event."""
    column = {Brings.CONTENT: "content_id", Brings.EVENT: "event_id"}.get(action.brings)
    return None if column is None else item[column]
