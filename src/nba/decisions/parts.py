"""Arms with rules of their own: who is planned by which rules, and one plan of all of them.

A test may give some customers another catalogue, contact policy, levers, texts or models. Each
set of rules plans its own customers within its share of every clerk's minutes, so a day is the sum
of its parts: the project's own rules, and one part for every such arm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from nba.decisions.inputs import DecisionInputs, conform_inputs
from nba.decisions.modes import Averages, mode_averages
from nba.decisions.ordering import is_priced, placed
from nba.decisions.plan import Plan
from nba.decisions.pool import eligible_customers, with_arms
from nba.decisions.rules import DecisionRules
from nba.decisions.substitution import with_substitutes
from nba.decisions.units import drawn_arms
from nba.schema.words import SIMPLE_ARMS, Arm, DrawUnit

#: Tables of an arm's own models stand under this name and the arm's.
ARM_TABLES: Final = "arms"
#: What the ledgers of several parts have of the project's own rules alone; the rest adds up.
_PRICES: Final = ("price_per_minute", "price_before_fatigue")


@dataclass(frozen=True)
class Part:
    """The customers whom one set of rules plans.

    Parameters
    ----------
    arm : str
        The arm; empty: all arms that plan by the project's own rules.
    tables : DecisionInputs
        Of everybody, with the clerks' minutes that are for this part.
    people : DataFrame
        customer_id, clerk_id and arm of those planned here; an arm of its own rules stands as the
        engine's, whose way of planning it follows.
    rules : DecisionRules
        With shares within the part.
    averages : Averages
        Stand for what is not known of a customer.
    """

    arm: str
    tables: DecisionInputs
    people: pl.DataFrame
    rules: DecisionRules
    averages: Averages

    def named(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return a table with the customers' arm called by its name."""
        if not self.arm:
            return table
        planned = pl.col("arm") == str(Arm.ENGINE)
        return table.with_columns(arm=pl.when(planned).then(pl.lit(self.arm)).otherwise("arm"))


def arm_tables(inputs: Mapping[str, pl.DataFrame], arm: str) -> dict[str, pl.DataFrame]:
    """Return the tables that an arm's own models made, by the name of what they replace."""
    place = f"{ARM_TABLES}/{arm}/"
    return {
        name.removeprefix(place): table
        for name, table in inputs.items()
        if arm and name.startswith(place)
    }


def parts_of(
    inputs: Mapping[str, pl.DataFrame],
    rules: DecisionRules,
    averages: Averages | None,
    *,
    as_of: datetime,
) -> Iterator[Part]:
    """Yield the parts of a day, that of the project's own rules first.

    Parameters
    ----------
    inputs : mapping of str to DataFrame
        As for `decide`; `arms/ARM/TABLE` stands in place of TABLE for an arm.
    rules : DecisionRules
    averages : Averages or None
        Of the whole shop, where `inputs` are those of a part of it.
    as_of : datetime
    """
    shared = with_substitutes(conform_inputs(inputs))
    of_all = averages or mode_averages(shared)
    for arm in ("", *sorted(rules.variants)):
        own = arm_tables(inputs, arm)
        tables = with_substitutes(conform_inputs({**inputs, **own})) if own else shared
        people = people_of(tables, rules, arm, as_of=as_of)
        settings, share = rules.settings.within(arm)
        part_rules = rules.of_arm(arm).model_copy(update={"settings": settings, "variants": {}})
        if rules.variants:
            clerks = tables["clerk"]
            by_clerk = _shares_of_minutes(tables, rules, arm, share, as_of=as_of)
            minutes = clerks.with_columns(pl.col("minutes_per_day") * by_clerk)
            tables = DecisionInputs({**tables.tables, "clerk": minutes})
        yield Part(arm, tables, people, part_rules, mode_averages(tables) if own else of_all)


def _shares_of_minutes(
    tables: DecisionInputs, rules: DecisionRules, arm: str, share: float, *, as_of: datetime
) -> pl.Series:
    """Return the share of each clerk's minutes that one set of rules may plan.

    Where clerks or stores draw, it is all or nothing; where groups draw, as many as the clerk has
    customers to plan by these rules.
    """
    clerks, draw = tables["clerk"], rules.settings.by_units
    if draw is None:
        return pl.repeat(share, clerks.height, eager=True)
    if draw.unit is not DrawUnit.GROUP:
        people = clerks.select("clerk_id", customer_id="clerk_id")
        return (_planners(drawn_arms(tables, people, draw), rules) == arm).cast(pl.Float64)
    people = eligible_customers(tables, rules, as_of=as_of)
    people = people.filter(pl.col("arm") != str(Arm.HOLDOUT))
    mine = people.with_columns(mine=_planners(people["arm"], rules) == arm)
    shares = mine.group_by("clerk_id").agg(pl.col("mine").mean())
    found = clerks.select("clerk_id").join(shares, on="clerk_id", how="left", maintain_order="left")
    return found["mine"].fill_null(0.0 if arm else 1.0)


def _planners(arms: pl.Series, rules: DecisionRules) -> pl.Series:
    """Return by which rules each arm is planned: its own name; empty, the project's."""
    own = pl.when(pl.col("arm").is_in(list(rules.variants))).then("arm").otherwise(pl.lit(""))
    return arms.alias("arm").to_frame().select(own).to_series()


def people_of(
    tables: DecisionInputs, rules: DecisionRules, arm: str, *, as_of: datetime
) -> pl.DataFrame:
    """Return the eligible customers whom one set of rules plans: customer_id, clerk_id, arm.

    Parameters
    ----------
    tables : DecisionInputs
    rules : DecisionRules
        Of the day, with all arms.
    arm : str
        An arm of its own rules, whose customers then stand as the engine's; empty: all others.
    as_of : datetime
    """
    people = eligible_customers(tables, rules.of_arm(arm), as_of=as_of)
    if not rules.variants:
        return people
    own = people.filter(_planner_of(tables, people, rules) == arm)
    stands = pl.col("arm") == (arm if arm not in SIMPLE_ARMS else "")
    return own.with_columns(arm=pl.when(stands).then(pl.lit(str(Arm.ENGINE))).otherwise("arm"))


def _planner_of(tables: DecisionInputs, people: pl.DataFrame, rules: DecisionRules) -> pl.Series:
    """Return by which rules each person is planned; empty: the project's.

    Where clerks or stores draw, all their customers are, those drawn at random or held out too.
    """
    draw = rules.settings.by_units
    if draw is None or draw.unit is DrawUnit.GROUP:
        return _planners(people["arm"], rules)
    return _planners(drawn_arms(tables, people, draw), rules)


def arm_of(
    tables: DecisionInputs, rules: DecisionRules, customer_id: str, *, as_of: datetime
) -> str:
    """Return the arm of its own rules in which a customer is; empty: none of them.

    Parameters
    ----------
    tables : DecisionInputs
    rules : DecisionRules
        Of the day, with all arms.
    customer_id : str
    as_of : datetime
    """
    if not rules.variants:
        return ""
    person = pl.col("customer_id") == customer_id
    people = tables["customer_state"].filter(person).select("customer_id", "clerk_id")
    people = with_arms(tables, people, rules.settings, as_of=as_of)
    return next(iter(_planner_of(tables, people, rules)), "")


def joined(plans: Sequence[Plan], services: Sequence[Sequence[str]]) -> Plan:
    """Return the plans of a day's parts as one.

    Parameters
    ----------
    plans : sequence of Plan
        That of the project's own rules first.
    services : sequence of sequence of str
        The action types of each part that are services, which come first on a list.
    """
    if len(plans) == 1:
        return plans[0]
    actions = pl.concat(
        plan.actions.with_columns(service=pl.col("action_type").is_in(list(types)))
        for plan, types in zip(plans, services, strict=True)
    )
    best_first = pl.when(is_priced()).then(-pl.col("value")).otherwise(pl.col("rank"))
    listed = placed(actions.filter(pl.col("rank").is_not_null()), best_first)
    unlisted = actions.filter(pl.col("rank").is_null())
    return Plan(
        log=pl.concat([plan.log for plan in plans], how="vertical_relaxed").sort("customer_id"),
        actions=pl.concat([listed, unlisted])
        .drop("service")
        .sort("clerk_id", "rank", "customer_id", nulls_last=True),
        clerks=_one_ledger([plan.clerks for plan in plans]),
        preferred_mode=pl.concat(plan.preferred_mode for plan in plans).sort("customer_id"),
        handovers=plans[0].handovers,
    )


def _one_ledger(ledgers: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return a row per clerk: minutes, actions and values added up, prices of the first ledger."""
    rows = pl.concat(ledgers)
    added = [name for name in rows.columns if name not in ("clerk_id", "store_id", *_PRICES)]
    found = rows.group_by("clerk_id", "store_id").agg(pl.col(added).sum(), pl.col(_PRICES).first())
    return found.select(rows.columns).sort("clerk_id")
