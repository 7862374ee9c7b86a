"""Clerk: minutes, shift, friends, adoption. One row per clerk."""

from __future__ import annotations

from datetime import datetime

import ibis
from ibis.expr import types as ir

from nba.features import customer_state, prepare
from nba.features.exact import total
from nba.features.view import Feature, Tables, View
from nba.schema.words import CLERK_ID, CONTACT_MODES, STORE_ID, FeedbackKind


def _feedback(tables: Tables, as_of: datetime) -> ir.Table:
    rows = tables["feedback"]
    rows = rows.filter(prepare.before(rows.ts, as_of))
    rows = rows.filter(prepare.days_of(rows.ts) >= prepare.day_number(as_of) - 90)
    kinds = rows.group_by([CLERK_ID, "action_id"]).agg(
        sent=(rows.kind == str(FeedbackKind.SENT)).any(),
    )
    return kinds.group_by(feedback_key=CLERK_ID).agg(
        actions_answered_90d=kinds.count(), actions_sent_90d=kinds.sent.sum()
    )


def build(tables: Tables, as_of: datetime) -> ir.Table:
    """Return every clerk with what the day of `as_of` allows."""
    clerks = tables["clerks"]
    today = as_of.date()
    state = customer_state.state_of(tables, as_of)
    friends = state.group_by(friend_key=CLERK_ID).agg(
        customers=state.count(), friends=state.is_friend.sum()
    )
    rows = prepare.contacts(tables, as_of)
    recent = rows.day >= prepare.day_number(as_of) - 30
    contacts = rows.group_by(contact_key=CLERK_ID).agg(
        contacts_30d=recent.sum(), minutes_30d=total(rows.minutes, recent)
    )
    feedback = _feedback(tables, as_of)
    absences = tables["absences"]
    absent = absences.filter(absences.date == ibis.date(today)).select(absent_key=CLERK_ID)
    table = (
        clerks.left_join(friends, clerks.clerk_id == friends.friend_key)
        .left_join(contacts, clerks.clerk_id == contacts.contact_key)
        .left_join(feedback, clerks.clerk_id == feedback.feedback_key)
        .left_join(absent.distinct(), clerks.clerk_id == absent.absent_key)
    )
    working_day = table.working_days.fill_null("1234567").contains(str(today.isoweekday()))
    left = prepare.before(table.left_at, as_of)
    zero = {
        name: table[name].fill_null(0)
        for name in (
            "customers",
            "friends",
            "contacts_30d",
            "minutes_30d",
            "actions_answered_90d",
            "actions_sent_90d",
        )
    }
    return table.mutate(
        **zero,
        minutes_per_day=table.minutes_per_day.fill_null(60.0),
        has_left=left,
        works_today=working_day & table.absent_key.isnull() & ~left,
        modes=table.modes.fill_null(ibis.literal([str(mode) for mode in CONTACT_MODES])),
        adoption_rate=(zero["actions_sent_90d"].cast("float64") + 1.0)
        / (zero["actions_answered_90d"].cast("float64") + 2.0),
    )


_NOT_GIVEN = "null where the source does not say"

VIEW = View(
    "clerk",
    (CLERK_ID,),
    build,
    (
        Feature(STORE_ID, "string", "store", window="now", null_rule=_NOT_GIVEN),
        Feature("name", "string", "name", null_rule=_NOT_GIVEN),
        Feature("minutes_per_day", "float64", "minutes for contacts on a working day", "minutes"),
        Feature("works_today", "bool", "a working day, not absent, not left", window="now"),
        Feature("has_left", "bool", "left the company", window="now"),
        Feature("shift_start", "string", "start of the shift, HH:MM", null_rule=_NOT_GIVEN),
        Feature("shift_end", "string", "end of the shift, HH:MM", null_rule=_NOT_GIVEN),
        Feature("modes", "list<string>", "modes this clerk can serve; all where not given"),
        Feature("customers", "int64", "customers served", "count", "now"),
        Feature("friends", "int64", "of these friends", "count", "now"),
        Feature("contacts_30d", "int64", "contacts made in 30 days", "count", "30d"),
        Feature("minutes_30d", "float64", "minutes spent on them", "minutes", "30d"),
        Feature(
            "actions_answered_90d", "int64", "actions with feedback in 90 days", "count", "90d"
        ),
        Feature("actions_sent_90d", "int64", "of these sent", "count", "90d"),
        Feature("adoption_rate", "float64", "(sent + 1) / (with feedback + 2)", "share", "90d"),
    ),
    "What a clerk can do today.",
    needs=(customer_state.VIEW.name,),
)
