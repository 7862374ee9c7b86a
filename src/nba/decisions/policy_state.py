"""The contact policy applied: who may be contacted today, in which mode, with what type."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools
from nba.decisions.action_types import ActionType
from nba.decisions.inputs import DecisionInputs
from nba.decisions.policy import ContactPolicy
from nba.schema.words import CONTACT_MODES, Mode, ResponseKind

#: Reasons to leave a customer alone that an open case does not wait for: who asked or complained is
#: waiting for the answer, however many contacts there were and however short ago the last.
PASSED_BY_SERVICE: Final = (
    "cap_per_day",
    "cap_per_week",
    "cap_per_month",
    "cool_down",
    "pause_after_no",
    "pause_after_silence",
    "snoozed",
)


def contact_history(
    inputs: DecisionInputs, customers: pl.DataFrame, *, as_of: datetime, policy: ContactPolicy
) -> pl.DataFrame:
    """Add to `customers` counts and days since the last contacts, over all senders.

    Parameters
    ----------
    inputs : DecisionInputs
    customers : polars.DataFrame
        customer_id, and what else shall stay.
    as_of : datetime
        Contacts before it count, and those of the day that `inputs` heard of.
    policy : ContactPolicy
        Names the channels that no cap counts.
    """
    uncounted = [str(channel) for channel in policy.uncounted_channels]
    contacts = inputs.counted("interactions", as_of).filter(
        (pl.col("mode") != str(Mode.NONE)) & pl.col("channel").fill_null("").is_in(uncounted).not_()
    )
    day = (pl.lit(as_of.date()) - pl.col("ts").dt.date()).dt.total_days()
    contacts = contacts.with_columns(days=day)

    def within(days: int) -> pl.Expr:
        return (pl.col("days") < days).sum()

    per_customer = contacts.group_by("customer_id").agg(
        within(1).alias("contacts_today"),
        # Today's planned contact is the one that completes the window.
        within(7).alias("contacts_week"),
        within(30).alias("contacts_month"),
        pl.col("days").min().alias("last"),
        *[
            pl.col("days").filter(pl.col("mode") == str(mode)).min().alias(f"last_{mode}")
            for mode in CONTACT_MODES
        ],
    )
    return customers.join(
        per_customer, on="customer_id", how="left", maintain_order="left"
    ).with_columns(pl.col("contacts_today", "contacts_week", "contacts_month").fill_null(0))


def negative_history(
    inputs: DecisionInputs, *, as_of: datetime, policy: ContactPolicy
) -> pl.DataFrame:
    """Return blocks and complaints per customer."""
    rows = inputs.counted("responses", as_of).drop_nulls("customer_id")
    since = as_of - timedelta(days=policy.pause.within_days)
    no = pl.col("kind").is_in(policy.negative_kinds) & (pl.col("ts") >= since)
    return rows.group_by("customer_id").agg(
        negatives=no.sum(),
        last_negative=pl.col("ts").filter(no).max(),
        blocked_response=pl.col("ts").filter(pl.col("kind") == str(ResponseKind.BLOCKED)).max(),
    )


def policy_state(
    inputs: DecisionInputs, customers: pl.DataFrame, *, as_of: datetime, policy: ContactPolicy
) -> pl.DataFrame:
    """Apply caps, cool-downs and pauses to `customers` (customer_id, friend_since).

    Parameters
    ----------
    inputs : DecisionInputs
    customers : polars.DataFrame
        customer_id, friend_since.
    as_of : datetime
        The day of the plan; contacts and responses before it count, and those of the day that
        `inputs` heard of.
    policy : ContactPolicy

    Returns
    -------
    DataFrame
        In the order of `customers`: customer_id, `stopped_by` (the strongest reason to leave the
        customer alone today, or null), `service_stopped_by` (the same for the answer to an open
        case), `cools_<mode>` (the mode still cools down) and the history
        behind them.
    """
    history = contact_history(
        inputs, customers.select("customer_id", "friend_since"), as_of=as_of, policy=policy
    )
    for part in (
        negative_history(inputs, as_of=as_of, policy=policy),
        inputs["customer_contact"].select("customer_id", "unanswered_streak"),
        inputs["snoozes"].group_by("customer_id").agg(pl.col("until").max().alias("snoozed_until")),
    ):
        history = history.join(part, on="customer_id", how="left", maintain_order="left")
    reasons = {
        name: pl.when(condition.fill_null(False)).then(pl.lit(name))
        for name, condition in _stop_conditions(as_of, policy).items()
    }
    passed = set(PASSED_BY_SERVICE)
    if policy.caps.per_day < 1:  # nobody is to be contacted at all
        passed.discard("cap_per_day")
    of_service = [reason for name, reason in reasons.items() if name not in passed]
    cooling = [
        _cools(mode, policy.cool_down[mode].same_mode).alias(f"cools_{mode}")
        for mode in CONTACT_MODES
    ]
    return history.with_columns(
        pl.coalesce(reasons.values()).alias("stopped_by"),
        pl.coalesce(of_service).alias("service_stopped_by"),
        *cooling,
    )


def _cools(mode: Mode, days: int) -> pl.Expr:
    """Return whether the last contact in a mode is so few days ago; never where it is none."""
    return (pl.col(f"last_{mode}") <= days).fill_null(False) & pl.lit(days > 0)


def _stop_conditions(as_of: datetime, policy: ContactPolicy) -> dict[str, pl.Expr]:
    """Return when each reason to leave a customer alone holds, strongest first."""
    caps, pause = policy.caps, policy.pause
    cooling = pl.any_horizontal(
        [_cools(mode, policy.cool_down[mode].any_mode) for mode in CONTACT_MODES]
    )
    return {
        "blocked_response": (
            pl.col("blocked_response") >= pl.col("friend_since").fill_null(datetime(1970, 1, 1))
        ),
        "holiday": pl.lit(as_of.date() in policy.holidays),
        "cap_per_day": pl.col("contacts_today") >= caps.per_day,
        "cap_per_week": pl.col("contacts_week") >= caps.per_week,
        "cap_per_month": pl.col("contacts_month") >= caps.per_month,
        "pause_after_no": (
            (pl.col("negatives") >= pause.negative_responses)
            & (pl.col("last_negative") >= as_of - timedelta(days=pause.days))
        ),
        "pause_after_silence": (
            (pl.col("unanswered_streak") >= pause.unanswered)
            & (pl.col("last") <= pause.unanswered_days)
        ),
        "cool_down": cooling,
        "snoozed": pl.col("snoozed_until") >= as_of + timedelta(days=1),
    }


def policy_open(
    inputs: DecisionInputs,
    state: pl.DataFrame,
    actions: Sequence[ActionType],
    *,
    as_of: datetime,
    policy: ContactPolicy,
) -> Bools:
    """Return (customers, actions): whether the policy lets this type go to this customer.

    Parameters
    ----------
    state : DataFrame
        What `policy_state` returned, a row per customer.
    """
    free = state["stopped_by"].is_null().to_numpy()
    free_for_service = state["service_stopped_by"].is_null().to_numpy()
    cooling = {mode: state[f"cools_{mode}"].to_numpy() for mode in CONTACT_MODES}
    recent = _days_since_type(inputs, state, actions, as_of)
    spent = _spent_quota(inputs, state)
    for channel, over in _platform_spent(inputs, state, as_of=as_of, policy=policy).items():
        spent[channel] = over | spent.get(channel, False)
    allowed = np.zeros((state.height, len(actions)), dtype=bool)
    for position, action in enumerate(actions):
        waited = (recent[action.action_type] > action.wait_days).fill_null(True).to_numpy()
        open_to = free_for_service if action.service else free & ~cooling[action.mode]
        allowed[:, position] = open_to & waited
        if str(action.channel) in spent:
            allowed[:, position] &= ~spent[str(action.channel)]
    return allowed


def _days_since_type(
    inputs: DecisionInputs, customers: pl.DataFrame, actions: Sequence[ActionType], as_of: datetime
) -> pl.DataFrame:
    days = (pl.lit(as_of.date()) - pl.col("ts").dt.date()).dt.total_days()
    names = [action.action_type for action in actions]
    last = (
        inputs.counted("interactions", as_of)
        .filter(pl.col("mode") != str(Mode.NONE))
        .group_by("customer_id")
        .agg([days.filter(pl.col("action_type") == name).min().alias(name) for name in names])
    )
    return customers.select("customer_id").join(
        last, on="customer_id", how="left", maintain_order="left"
    )


def _spent_quota(inputs: DecisionInputs, customers: pl.DataFrame) -> dict[str, Bools]:
    """Return, per channel, whose quota is spent."""
    quota = inputs["quota"].filter(pl.col("remaining") < 1)
    result: dict[str, Bools] = {}
    for channel in quota["channel"].drop_nulls().unique().sort():
        ids = quota.filter(pl.col("channel") == channel)["customer_id"]
        result[str(channel)] = customers["customer_id"].is_in(ids.implode()).to_numpy()
    return result


def _platform_spent(
    inputs: DecisionInputs, customers: pl.DataFrame, *, as_of: datetime, policy: ContactPolicy
) -> dict[str, Bools]:
    """Return, per channel, who has had all that a platform's limit allows, today's included.

    Counted from the contacts that took place, so that it holds for other senders too and
    without a ledger.
    """
    days = (pl.lit(as_of.date()) - pl.col("ts").dt.date()).dt.total_days()
    made = inputs.counted("interactions", as_of).filter(pl.col("mode") != str(Mode.NONE))
    result: dict[str, Bools] = {}
    for limit in policy.platform_limits:
        if limit.valid_from > as_of.date():
            continue
        channels = [str(channel) for channel in limit.channels]
        of_these = made.filter(pl.col("channel").is_in(channels))
        over = np.zeros(customers.height, dtype=bool)
        for most, within in ((limit.per_day, 1), (limit.per_month, 30)):
            if most is not None:
                counted = of_these.filter(days < within).group_by("customer_id").len()
                full = counted.filter(pl.col("len") >= most)["customer_id"]
                over |= most == 0 or customers["customer_id"].is_in(full.implode()).to_numpy()
        for channel in channels:
            result[channel] = over | result.get(channel, False)
    return result
