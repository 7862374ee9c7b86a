"""Customer state: whose customer, a friend or not, consent, open cases. One row per customer."""

from __future__ import annotations

from datetime import datetime

import ibis
from ibis.expr import types as ir

from nba.features import prepare
from nba.features.birthdays import day_of_year, days_to_birthday
from nba.features.exact import total, units
from nba.features.view import Feature, Tables, View
from nba.schema.words import (
    CLERK_ID,
    CUSTOMER_ID,
    STORE_ID,
    BenefitKind,
    ResponseKind,
    ServiceCaseKind,
)


def _friendships(tables: Tables, as_of: datetime) -> ir.Table:
    rows = tables["friendships"]
    rows = rows.filter(prepare.before(rows.since, as_of))
    active = ~prepare.before(rows.ended_at, as_of)
    order = [ibis.desc("active"), ibis.desc("since"), CLERK_ID]
    ranked = rows.mutate(active=active).mutate(
        place=ibis.row_number().over(ibis.window(group_by=CUSTOMER_ID, order_by=order))
    )
    latest = ranked.filter(ranked.place == 0)
    return latest.select(
        friend_key=CUSTOMER_ID,
        friend_clerk=ibis.ifelse(latest.active, latest.clerk_id, None),
        since=ibis.ifelse(latest.active, latest.since, None),
        active="active",
    )


def _blocks(tables: Tables, as_of: datetime) -> ir.Table:
    rows = prepare.answers(tables, as_of)
    rows = rows.filter(rows.kind == str(ResponseKind.BLOCKED))
    return rows.group_by(block_key=CUSTOMER_ID).agg(block_ts=rows.ts.max())


def _cases(tables: Tables, as_of: datetime) -> ir.Table:
    rows = tables["service_cases"]
    rows = rows.filter(prepare.before(rows.opened_at, as_of))
    is_open = ~prepare.before(rows.closed_at, as_of)
    complaint = rows.kind == str(ServiceCaseKind.COMPLAINT)
    return rows.group_by(case_key=CUSTOMER_ID).agg(
        open_service_cases=is_open.sum(),
        open_complaints=(is_open & complaint).sum(),
        service_cases=rows.count(),
        days_since_service_case=prepare.age_days(rows.opened_at.max(), as_of),
    )


def _benefits(tables: Tables, as_of: datetime) -> ir.Table:
    rows = tables["benefits"]
    spent = prepare.before(rows.used_at, as_of) | prepare.before(rows.expires_at, as_of)
    rows = rows.filter(~spent)
    coupon = rows.kind == str(BenefitKind.COUPON)
    amount = units(rows.amount)
    return rows.group_by(benefit_key=CUSTOMER_ID).agg(
        open_coupons=coupon.sum(),
        open_coupon_amount=total(amount, coupon),
        open_points=total(amount, rows.kind == str(BenefitKind.POINTS)),
        open_gifts=(rows.kind == str(BenefitKind.GIFT)).sum(),
        coupon_expiry_days=-prepare.age_days(rows.expires_at.min(where=coupon), as_of),
    )


def _birthday(customers: ir.Table, as_of: datetime) -> dict[str, ir.Value]:
    """Return month, age and the days until the next birthday."""
    text = customers.birthday.right(5)
    month = text.left(2).cast("int64")
    day = text.right(2).cast("int64")
    today = as_of.date()
    ahead = ibis.ifelse(month.between(1, 12), days_to_birthday(month, day, today), None)
    dated = customers.birthday.length() == 10
    is_to_come = day_of_year(month, day, today.year) > day_of_year(
        today.month, today.day, today.year
    )
    age = as_of.year - customers.birthday.left(4).cast("int64") - is_to_come.cast("int64")
    return {
        "birthday_month": month,
        "days_to_birthday": ahead.cast("float64"),
        "age_years": ibis.ifelse(dated, age, None).cast("float64"),
    }


def state_of(tables: Tables, as_of: datetime) -> ir.Table:
    """Return this view for use by another one, computed anew only where it was not kept."""
    computed = f"view:{VIEW.name}"
    return tables[computed] if computed in tables else build(tables, as_of)


def build(tables: Tables, as_of: datetime) -> ir.Table:
    """Return the state of every customer known at `as_of`."""
    customers = tables["customers"]
    known = customers.joined_at.isnull() | prepare.before(customers.joined_at, as_of)
    customers = customers.filter(known)
    friends, blocks = _friendships(tables, as_of), _blocks(tables, as_of)
    cases, benefits = _cases(tables, as_of), _benefits(tables, as_of)
    table = (
        customers.left_join(friends, customers.customer_id == friends.friend_key)
        .left_join(blocks, customers.customer_id == blocks.block_key)
        .left_join(cases, customers.customer_id == cases.case_key)
        .left_join(benefits, customers.customer_id == benefits.benefit_key)
    )
    declared = prepare.before(table.friend_since, as_of)
    own_since = ibis.ifelse(declared, table.friend_since, None)
    since = ibis.ifelse(table.friend_key.notnull(), table.since, own_since)
    own_block = ibis.ifelse(prepare.before(table.blocked_at, as_of), table.blocked_at, None)
    block = ibis.greatest(own_block.fill_null(table.block_ts), table.block_ts.fill_null(own_block))
    # A friendship made after the block lifts it.
    blocked = block.notnull() & (since.isnull() | (block >= since)).fill_null(True)
    counts = {
        name: table[name].fill_null(0)
        for name in (
            "open_service_cases",
            "open_complaints",
            "service_cases",
            "open_coupons",
            "open_coupon_amount",
            "open_points",
            "open_gifts",
        )
    }
    return table.select(
        CUSTOMER_ID,
        STORE_ID,
        "gender",
        "city",
        "locale",
        "birthday",
        "days_since_service_case",
        "coupon_expiry_days",
        clerk_id=table.friend_clerk.fill_null(table.clerk_id),
        is_friend=since.notnull() & ~blocked,
        friend_since=since,
        is_blocked=blocked,
        blocked_since=ibis.ifelse(blocked, block, None),
        consent_contact=table.consent_contact.fill_null(True),
        consent_profiling=table.consent_profiling.fill_null(True),
        joined_days=prepare.age_days(table.joined_at, as_of),
        **counts,
        **_birthday(table, as_of),
    )


_NOT_GIVEN = "null where the source does not say"

VIEW = View(
    "customer_state",
    (CUSTOMER_ID,),
    build,
    (
        Feature(STORE_ID, "string", "home store", window="now", null_rule=_NOT_GIVEN),
        Feature(
            CLERK_ID,
            "string",
            "clerk of the latest friendship, else of the customer",
            window="now",
            null_rule=_NOT_GIVEN,
        ),
        Feature("is_friend", "bool", "connected to a clerk by chat, and not blocked", window="now"),
        Feature(
            "friend_since", "timestamp", "since when", window="now", null_rule="null for no friend"
        ),
        Feature("is_blocked", "bool", "blocked us, and did not become a friend again"),
        Feature("blocked_since", "timestamp", "since when", null_rule="null where not blocked"),
        Feature("consent_contact", "bool", "may be contacted", window="now"),
        Feature("consent_profiling", "bool", "may be profiled", window="now"),
        Feature("birthday", "string", "YYYY-MM-DD or MM-DD", null_rule=_NOT_GIVEN),
        Feature("birthday_month", "int64", "month of birth", "month", null_rule=_NOT_GIVEN),
        Feature(
            "days_to_birthday",
            "float64",
            "days until the next birthday (0: today)",
            "days",
            "now",
            null_rule=_NOT_GIVEN,
        ),
        Feature("age_years", "float64", "age", "years", "now", null_rule="year of birth unknown"),
        Feature("gender", "string", "as given", null_rule=_NOT_GIVEN),
        Feature("city", "string", "as given", null_rule=_NOT_GIVEN),
        Feature("locale", "string", "language, as given", null_rule=_NOT_GIVEN),
        Feature("joined_days", "float64", "days since joining", "days", null_rule=_NOT_GIVEN),
        Feature("open_service_cases", "int64", "service cases not closed", "count", "now"),
        Feature("open_complaints", "int64", "complaints not closed", "count", "now"),
        Feature("service_cases", "int64", "service cases ever opened", "count"),
        Feature(
            "days_since_service_case",
            "float64",
            "days since the last one was opened",
            "days",
            null_rule="null without a case",
        ),
        Feature("open_coupons", "int64", "coupons neither used nor expired", "count", "now"),
        Feature("open_coupon_amount", "float64", "their amount", "amount", "now"),
        Feature(
            "coupon_expiry_days",
            "float64",
            "days until the first of them expires",
            "days",
            "now",
            null_rule="null without an expiring coupon",
        ),
        Feature("open_points", "float64", "points neither used nor expired", "count", "now"),
        Feature("open_gifts", "int64", "gifts waiting", "count", "now"),
    ),
    "Who serves a customer, and what we may do.",
)
