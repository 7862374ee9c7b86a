"""What stands open for a few customers now, best first: no clerk's minutes, no draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from nba.decisions.candidates import build_candidates
from nba.decisions.doors import door_of, opening_days, text_of
from nba.decisions.explain import candidate_rows, compared_with
from nba.decisions.funnel import Stage
from nba.decisions.inputs import DecisionInputs, conform_inputs
from nba.decisions.modes import MODES, Averages, mode_averages
from nba.decisions.ordering import in_money
from nba.decisions.own_cases import with_own_cases
from nba.decisions.parts import ARM_TABLES, arm_of, arm_tables, people_of
from nba.decisions.pool import CHUNK, Pool, fatigue_cost
from nba.decisions.rules import DecisionRules
from nba.decisions.substitution import with_substitutes
from nba.decisions.writing import ACTION_SCHEMA, write_actions
from nba.schema.words import OWN_HABIT_ARMS

_NOT_ASKED = tuple(str(arm) for arm in OWN_HABIT_ARMS)


@dataclass(frozen=True)
class ArmTables:
    """What an arm with models of its own has in place of the day's tables.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By the name of what they replace.
    averages : Averages
        Over all customers, by these models.
    """

    tables: Mapping[str, pl.DataFrame]
    averages: Averages


@dataclass(frozen=True)
class OpenBook:
    """A day's tables made ready for single customers.

    Parameters
    ----------
    tables : DecisionInputs
        Of all customers, with today's substitutes.
    averages : Averages
        Over all customers.
    price : mapping of str to float
        What a minute of each working clerk earns, before what contacts take from later ones.
    of_arms : mapping of str to ArmTables
        Of the arms with models of their own.
    """

    tables: DecisionInputs
    averages: Averages
    price: Mapping[str, float]
    of_arms: Mapping[str, ArmTables]

    @classmethod
    def of(
        cls,
        inputs: Mapping[str, pl.DataFrame],
        clerks: pl.DataFrame,
        averages: Averages | None = None,
    ) -> OpenBook:
        """Return the book of what `decide` had, and of its ledger of clerks."""
        tables = with_substitutes(conform_inputs(inputs))
        price: dict[str, float] = {}
        if "price_before_fatigue" in clerks.columns:
            price = dict(clerks.select("clerk_id", "price_before_fatigue").iter_rows())
        arms = {name.split("/")[1] for name in inputs if name.startswith(f"{ARM_TABLES}/")}
        own = {arm: arm_tables(inputs, arm) for arm in sorted(arms)}
        of_arms = {
            arm: ArmTables(given, mode_averages(conform_inputs({**inputs, **given})))
            for arm, given in own.items()
        }
        return cls(tables, averages or mode_averages(tables), price, of_arms)

    def of_arm(
        self, arm: str, scores: Mapping[str, pl.DataFrame] | None
    ) -> tuple[Mapping[str, pl.DataFrame], Averages]:
        """Return what stands in place of the book's tables for an arm, and its averages."""
        own = self.of_arms.get(arm)
        if own is None:
            return scores or {}, self.averages
        return {**own.tables, **(scores or {})}, own.averages

    def customers_of(self, clerk_id: str) -> list[str]:
        """Return the customers whom a clerk serves today, by id."""
        state = self.tables["customer_state"]
        return state.filter(pl.col("clerk_id") == clerk_id)["customer_id"].sort().to_list()


def next_actions(
    book: OpenBook,
    customer_ids: list[str],
    rules: DecisionRules,
    *,
    as_of: datetime,
    scores: Mapping[str, pl.DataFrame] | None = None,
    heard_until: datetime | None = None,
    as_scored: bool = False,
) -> pl.DataFrame:
    """Return the best open action of each mode for some customers, best first.

    Parameters
    ----------
    book : OpenBook
    customer_ids : list of str
        At most `nba.decisions.pool.CHUNK`.
    rules : DecisionRules
    as_of : datetime
    scores : mapping of str to DataFrame, optional
        Tables of these customers in place of the book's, such as fresh scores.
    heard_until : datetime, optional
        Up to when the contacts and responses of `scores` count, beyond `as_of`.
    as_scored : bool
        `value` as each list scores, money or not; else it is null where it is no money.

    Returns
    -------
    DataFrame
        The columns of `nba actions export`; `rank` counts within the customer, services first.
        Nothing was drawn: `propensity` is null. Only what is worth more than leaving the customer
        alone; nothing for a customer who may not be contacted or is left to the clerk's own habit,
        and for who is held out the answer to an open case alone.
    """
    ids = customer_ids[:CHUNK]
    parts = [
        _of_part(book, ids, rules, arm, as_of=as_of, scores=scores, heard_until=heard_until)
        for arm in ("", *sorted(rules.variants))
    ]
    ranked = _ranked(pl.concat(parts))
    return ranked if as_scored else in_money(ranked)


def _of_part(
    book: OpenBook,
    customer_ids: list[str],
    day_rules: DecisionRules,
    arm: str,
    *,
    as_of: datetime,
    scores: Mapping[str, pl.DataFrame] | None,
    heard_until: datetime | None,
) -> pl.DataFrame:
    """Return the actions of the customers whom one set of rules plans, with `service`.

    Parameters
    ----------
    book : OpenBook
    customer_ids : list of str
    day_rules : DecisionRules
        Of the day, with all arms.
    arm : str
        An arm of its own rules; empty: all others.
    as_of : datetime
    scores : mapping of str to DataFrame or None
        In place of the book's tables.
    heard_until : datetime or None
        See `next_actions`.
    """
    rules = day_rules.of_arm(arm)
    own, averages = book.of_arm(arm, scores)
    mine = replace(tables_of(book, customer_ids, own), heard_until=heard_until)
    people = people_of(mine, day_rules, arm, as_of=as_of)
    people = people.filter(~pl.col("arm").is_in(_NOT_ASKED))
    mine = mine.of_customers(people["customer_id"])
    candidates = build_candidates(
        mine, rules.actions, averages, rules, as_of=as_of, arm=people["arm"]
    )
    pool, place = with_own_cases(Pool.of(people, candidates), rules)
    price = people["clerk_id"].replace_strict(
        book.price, default=float("inf"), return_dtype=pl.Float64
    )
    cost = fatigue_cost(pool, price.fill_null(float("inf")).to_numpy(), rules)
    pool = pool.charged(cost)
    planned = people.filter(pl.Series(place >= 0)).select("customer_id")
    chosen = [
        _of_mode(pool, mode, rules, as_of).join(planned, on="customer_id", how="semi")
        for mode in range(len(MODES))
    ]
    written = [write_actions(mine, rows, pool.facts, rules, as_of=as_of) for rows in chosen]
    services = [action.action_type for action in rules.actions if action.service]
    found = pl.concat(written).with_columns(service=pl.col("action_type").is_in(services))
    return found.with_columns(arm=pl.lit(arm)) if arm else found


def tables_of(
    book: OpenBook, customer_ids: list[str], scores: Mapping[str, pl.DataFrame] | None
) -> DecisionInputs:
    """Return the book's tables of some customers, with other scores in place of the book's."""
    mine = book.tables.of_customers(pl.Series(customer_ids, dtype=pl.String))
    if not scores:
        return mine
    wanted = pl.Series("customer_id", customer_ids, dtype=pl.String).to_frame()
    scores = {
        name: table.join(wanted, on="customer_id", how="semi", maintain_order="left")
        if "customer_id" in table.columns
        else table
        for name, table in scores.items()
    }
    conformed = conform_inputs({**mine.tables, **scores})
    return DecisionInputs({**mine.tables, **{name: conformed[name] for name in scores}})


def why_not(
    book: OpenBook,
    customer_id: str,
    rules: DecisionRules,
    *,
    as_of: datetime,
    scores: Mapping[str, pl.DataFrame] | None = None,
    heard_until: datetime | None = None,
) -> pl.DataFrame:
    """Return every action type for one customer: how far it came, why no further, until when.

    Parameters
    ----------
    book : OpenBook
    customer_id : str
    rules : DecisionRules
    as_of : datetime
    scores : mapping of str to DataFrame, optional
        As for `next_actions`.
    heard_until : datetime, optional
        As for `next_actions`.

    Returns
    -------
    DataFrame
        The columns of `Explanation.candidates` that need no draw, with `door` (a code of
        `nba.decisions.doors`; empty where it is open), `door_zh`, `door_en`, `opens_on` and the
        price of the clerk's minute; none for an unknown customer.
    """
    arm = arm_of(tables_of(book, [customer_id], None), rules, customer_id, as_of=as_of)
    own, averages = book.of_arm(arm, scores)
    mine = replace(tables_of(book, [customer_id], own), heard_until=heard_until)
    if mine["customer_state"].is_empty():
        return pl.DataFrame()
    people = compared_with(mine, rules, arm, customer_id, as_of=as_of)
    rules = rules.of_arm(arm)
    actions = rules.catalogue.actions
    candidates = build_candidates(mine, actions, averages, rules, as_of=as_of, arm=people["arm"])
    stages = [Stage(int(stage)) for stage in candidates.stage[0]]
    codes = [door_of(candidates, at, stage) for at, stage in enumerate(stages)]
    texts = [
        text_of(code, action) if code else {"zh": "", "en": ""}
        for code, action in zip(codes, actions, strict=True)
    ]
    doors = pl.DataFrame(
        {
            "action_type": [action.action_type for action in actions],
            "door": codes,
            "door_zh": [text["zh"] for text in texts],
            "door_en": [text["en"] for text in texts],
            "opens_on": pl.Series(
                opening_days(mine, candidates, rules.policy, as_of=as_of), dtype=pl.Date
            ),
        }
    )
    price = book.price.get(candidates.facts["clerk_id"][0] or "")
    return candidate_rows(candidates).join(
        doors, on="action_type", how="left", maintain_order="left"
    ).with_columns(price_per_minute=pl.lit(price, dtype=pl.Float64))  # fmt: skip


def _of_mode(pool: Pool, mode: int, rules: DecisionRules, as_of: datetime) -> pl.DataFrame:
    """Return each customer's best action of a mode as a row that `write_actions` reads."""
    names = np.array([*(action.action_type for action in rules.actions), ""], dtype=object)
    return pool.people.select(
        "customer_id",
        "clerk_id",
        "arm",
        as_of=pl.lit(as_of),
        action_type=pl.Series(names[pool.action[:, mode]], dtype=pl.String),
        mode=pl.lit(str(MODES[mode])),
        value=pl.Series(pool.value[:, mode]),
        uplift=pl.Series(pool.uplift[:, mode]),
        minutes=pl.Series(pool.minutes[:, mode]),
        need_id=pl.Series(pool.need[:, mode].tolist(), dtype=pl.String),
        propensity=pl.lit(None, dtype=pl.Float64),
        explored=pl.lit(False),
        policy_version=pl.lit(rules.policy_version),
        model_versions=pl.lit(rules.model_versions),
    ).filter((pl.col("action_type") != "") & (pl.col("value") > 0))


def _ranked(actions: pl.DataFrame) -> pl.DataFrame:
    ordered = actions.sort("customer_id", ~pl.col("service"), -pl.col("value"), "action_type")
    rank = pl.int_range(1, pl.len() + 1).over("customer_id").cast(ACTION_SCHEMA["rank"])
    return ordered.with_columns(rank=rank).drop("service")
