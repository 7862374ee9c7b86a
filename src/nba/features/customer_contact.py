"""Customer contact: contacts, responses, fatigue, groups. One row per customer.

Posts in a feed (`FEED_CHANNELS`) are seen or not: contacts, silence, rates and fatigue leave them
out. An answer to one is an answer all the same, and their minutes are minutes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import ibis
from ibis.expr import types as ir

from nba.features import customer_state, prepare
from nba.features.customer_behaviour import peak
from nba.features.exact import WEIGHT_UNITS, total, units
from nba.features.view import Feature, Tables, View
from nba.schema.words import CONTACT_MODES, CUSTOMER_ID, HOUR_BANDS, Channel, ResponseKind

WINDOWS: Final = (7, 30, 90, 365)
MODES: Final = tuple(str(mode) for mode in CONTACT_MODES)
#: Response rates are shrunk towards one answer in five contacts, with the weight of five.
PRIOR_RESPONSES: Final = 1.0
PRIOR_CONTACTS: Final = 5.0
#: Days after which a contact wears half as much.
FATIGUE_HALF_LIFE_DAYS: Final = 14.0
#: Responses that only somebody who has read the message gives.
SEEN: Final = (ResponseKind.READ, ResponseKind.REPLIED, ResponseKind.CLICKED)
#: A friend who has not engaged for so many days is silent.
SILENT_DAYS: Final = 90


def _weight(age: ir.FloatingColumn) -> ir.IntegerColumn:
    return units(ibis.literal(0.5) ** (age / FATIGUE_HALF_LIFE_DAYS), WEIGHT_UNITS)


def _contacts(tables: Tables, as_of: datetime) -> ir.Table:
    rows = prepare.contacts(tables, as_of)
    today = prepare.day_number(as_of)
    age = (today - rows.day).cast("float64")
    asked = ~rows.in_feed
    columns: dict[str, ir.Value] = {}
    for length in WINDOWS:
        within = rows.day >= today - length
        columns[f"contacts_{length}d"] = (asked & within).sum()
        columns[f"minutes_{length}d"] = total(rows.minutes, within)
    for mode in MODES:
        of_mode = rows.mode == mode
        columns[f"contacts_{mode}_90d"] = (asked & of_mode & (rows.day >= today - 90)).sum()
        columns[f"contacts_{mode}_365d"] = (asked & of_mode & (rows.day >= today - 365)).sum()
        columns[f"minutes_{mode}_90d"] = total(rows.minutes, of_mode & (rows.day >= today - 90))
        columns[f"days_since_contact_{mode}"] = age.min(where=asked & of_mode)
    return rows.group_by(CUSTOMER_ID).agg(
        contacts=asked.sum(),
        days_since_contact=age.min(where=asked),
        group_contacts_90d=(
            (rows.channel == str(Channel.GROUP)).fill_null(False) & (rows.day >= today - 90)
        ).sum(),
        wear=total(_weight(age), asked, per_one=WEIGHT_UNITS),
        **columns,
    )


def _answers(tables: Tables, as_of: datetime) -> ir.Table:
    rows = prepare.answers(tables, as_of)
    today = prepare.day_number(as_of)
    age = (today - rows.day).cast("float64")
    columns: dict[str, ir.Value] = {}
    for length in WINDOWS:
        columns[f"responses_{length}d"] = (rows.engaged & (rows.day >= today - length)).sum()
    for mode in MODES:
        of_mode = rows.engaged & (rows.mode == mode).fill_null(False)
        columns[f"responses_{mode}_365d"] = (of_mode & (rows.day >= today - 365)).sum()
    read = rows.kind == str(ResponseKind.READ)
    return rows.group_by(CUSTOMER_ID).agg(
        reads_90d=(read & ~rows.in_feed & (rows.day >= today - 90)).sum(),
        negative_responses_90d=(rows.negative & (rows.day >= today - 90)).sum(),
        negative_responses_365d=(rows.negative & (rows.day >= today - 365)).sum(),
        days_since_response=age.min(where=rows.engaged),
        days_since_negative_response=age.min(where=rows.negative),
        group_responses_90d=(
            rows.engaged & rows.group_id.notnull() & (rows.day >= today - 90)
        ).sum(),
        relief=total(_weight(age), rows.engaged, per_one=WEIGHT_UNITS),
        **columns,
    )


def _answered_contacts(tables: Tables, as_of: datetime) -> ir.Table:
    """Return per customer the contacts of the last year that were answered, by mode."""
    rows = prepare.contacts(tables, as_of)
    recent = rows.filter(~rows.in_feed & (rows.day >= prepare.day_number(as_of) - 365))
    replies = prepare.answers(tables, as_of)
    engaged = replies.filter(replies.engaged & replies.interaction_id.notnull())
    answered = recent.semi_join(engaged.select("interaction_id").distinct(), "interaction_id")
    return answered.group_by(CUSTOMER_ID).agg(
        answered_365d=answered.count(),
        **{f"answered_{mode}_365d": (answered.mode == mode).sum() for mode in MODES},
    )


def _hours(tables: Tables, as_of: datetime) -> ir.Table:
    """Return per customer a year's messages by the hour when they were sent, and those read.

    Posts that many see are no messages.
    """
    rows = prepare.contacts(tables, as_of)
    posts = [str(Channel.GROUP), str(Channel.MOMENTS)]
    rows = rows.filter(
        (rows.day >= prepare.day_number(as_of) - 365) & ~rows.channel.isin(posts).fill_null(False)
    )
    replies = prepare.answers(tables, as_of)
    seen = replies.filter(
        replies.kind.isin([str(kind) for kind in SEEN]) & replies.interaction_id.notnull()
    )
    seen = seen.select(seen_id="interaction_id").distinct()
    rows = rows.left_join(seen, rows.interaction_id == seen.seen_id)
    hour = rows.ts.hour().cast("int64")
    columns: dict[str, ir.Value] = {}
    for band, (first, end) in HOUR_BANDS.items():
        within = (hour >= first) & (hour < end)
        columns[f"sent_{band}_365d"] = within.sum()
        columns[f"read_{band}_365d"] = (within & rows.seen_id.notnull()).sum()
    return rows.group_by(CUSTOMER_ID).agg(**columns)


def _streak(tables: Tables, as_of: datetime) -> ir.Table:
    """Return per customer the contacts since the last engaged response."""
    rows, replies = prepare.contacts(tables, as_of), prepare.answers(tables, as_of)
    last = (
        replies.filter(replies.engaged)
        .group_by(answer_key=CUSTOMER_ID)
        .agg(last_ts=replies.ts.max())
    )
    rows = rows.filter(~rows.in_feed)
    joined = rows.left_join(last, rows.customer_id == last.answer_key)
    open_contact = joined.last_ts.isnull() | (joined.ts > joined.last_ts)
    return joined.group_by(CUSTOMER_ID).agg(unanswered_streak=open_contact.sum())


def _groups(tables: Tables, as_of: datetime) -> ir.Table:
    rows = tables["memberships"]
    rows = rows.filter(prepare.before(rows.joined_at, as_of))
    left = prepare.before(rows.left_at, as_of)
    return rows.group_by(CUSTOMER_ID).agg(
        groups_joined=(~left).sum(),
        groups_left=left.sum(),
        days_since_group_joined=prepare.age_days(rows.joined_at.max(where=~left), as_of),
    )


def _rates(table: ir.Table) -> dict[str, ir.Value]:
    """Return the shrunk response rates, over all modes and for each."""
    rates = {
        f"response_rate_{mode}": _shrunk(
            table[f"answered_{mode}_365d"], table[f"contacts_{mode}_365d"]
        )
        for mode in MODES
    }
    return {"response_rate": _shrunk(table.answered_365d, table.contacts_365d), **rates}


def _shrunk(answered: ir.IntegerColumn, contacts: ir.IntegerColumn) -> ir.FloatingColumn:
    # A float first: Spark reads 1.0 as a decimal.
    return (answered.cast("float64") + PRIOR_RESPONSES) / (
        contacts.cast("float64") + PRIOR_CONTACTS
    )


def build(tables: Tables, as_of: datetime) -> ir.Table:
    """Return the contact history of every customer known at `as_of`."""
    state = customer_state.state_of(tables, as_of)
    replies = prepare.answers(tables, as_of)
    engaged = replies.filter(replies.engaged)
    hours = peak(engaged, CUSTOMER_ID, "hour", 24).rename(response_hour_peak="peak")
    table = state.select(CUSTOMER_ID, "is_friend", "friend_since")
    for part in (
        _contacts(tables, as_of),
        _answers(tables, as_of),
        _answered_contacts(tables, as_of),
        _hours(tables, as_of),
        _streak(tables, as_of),
        _groups(tables, as_of),
        hours,
    ):
        table = table.left_join(part, CUSTOMER_ID).drop("customer_id_right")
    nullable = {CUSTOMER_ID, "is_friend", "friend_since", "response_hour_peak"}
    filled = {
        name: table[name].fill_null(0)
        for name in table.columns
        if name not in nullable and not name.startswith("days_since_")
    }
    table = table.mutate(**filled)
    friend_days = prepare.age_days(table.friend_since, as_of)
    quiet = (table.days_since_response > SILENT_DAYS).fill_null(True)
    return table.mutate(
        friend_days=friend_days,
        is_silent_friend=table.is_friend & quiet & (friend_days > SILENT_DAYS).fill_null(False),
        fatigue=table.wear / (1.0 + table.relief),
        **_rates(table),
    )


def _count(name: str, meaning: str, window: str = "all") -> Feature:
    return Feature(name, "int64", meaning, "count", window)


def _since(name: str, what: str) -> Feature:
    return Feature(name, "float64", f"days since {what}", "days", null_rule=f"null without {what}")


VIEW = View(
    "customer_contact",
    (CUSTOMER_ID,),
    build,
    (
        _count("contacts", "contacts ever; here and below, posts to moments are none"),
        *(_count(f"contacts_{n}d", f"contacts in the last {n} days", f"{n}d") for n in WINDOWS),
        *(_count(f"contacts_{mode}_90d", f"of these as {mode}", "90d") for mode in MODES),
        *(
            _count(f"contacts_{mode}_365d", f"a year's contacts as {mode}", "365d")
            for mode in MODES
        ),
        _since("days_since_contact", "the last contact"),
        *(_since(f"days_since_contact_{mode}", f"the last contact as {mode}") for mode in MODES),
        *(
            Feature(
                f"minutes_{n}d",
                "float64",
                f"clerk minutes in {n} days, posts too",
                "minutes",
                f"{n}d",
            )
            for n in WINDOWS
        ),
        *(
            Feature(f"minutes_{mode}_90d", "float64", f"of these as {mode}", "minutes", "90d")
            for mode in MODES
        ),
        *(_count(f"responses_{n}d", f"engaged responses in {n} days", f"{n}d") for n in WINDOWS),
        *(
            _count(f"responses_{mode}_365d", f"a year's engaged responses to {mode}", "365d")
            for mode in MODES
        ),
        _count("reads_90d", "messages read in the last 90 days", "90d"),
        *(
            _count(
                f"{name}_{band}_365d", f"a year's messages {name} from {first} to {end} h", "365d"
            )
            for name in ("sent", "read")
            for band, (first, end) in HOUR_BANDS.items()
        ),
        _since("days_since_response", "the last engaged response"),
        Feature(
            "response_rate",
            "float64",
            "share of a year's contacts that were answered, shrunk to 1 in 5 with weight 5",
            "share",
            "365d",
        ),
        *(
            Feature(f"response_rate_{mode}", "float64", f"the same for {mode}", "share", "365d")
            for mode in MODES
        ),
        _count(
            "unanswered_streak",
            "contacts since the last engaged response, be it to a post",
        ),
        _count("negative_responses_90d", "blocks and complaints in 90 days", "90d"),
        _count("negative_responses_365d", "blocks and complaints in a year", "365d"),
        _since("days_since_negative_response", "the last block or complaint"),
        Feature(
            "fatigue",
            "float64",
            "contacts, halved every 14 days, over 1 + engaged responses halved alike",
            "ratio",
        ),
        Feature(
            "response_hour_peak",
            "int64",
            "hour in which this customer mostly responds",
            "hour",
            null_rule="null without an engaged response",
        ),
        _count("groups_joined", "groups the customer is in", "now"),
        _count("groups_left", "groups the customer left"),
        _since("days_since_group_joined", "a group was joined"),
        _count("group_contacts_90d", "group contacts in 90 days", "90d"),
        _count("group_responses_90d", "engaged responses in groups in 90 days", "90d"),
        Feature(
            "friend_days",
            "float64",
            "age of the friendship",
            "days",
            null_rule="null for no friend",
        ),
        Feature("is_silent_friend", "bool", "a friend for 90 days, none of them with an answer"),
    ),
    "What was said to a customer, and what came back.",
    needs=(customer_state.VIEW.name,),
)
