"""`decide`: from feature and score tables to a plan, its log and the clerks' ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from nba.decisions.allocation import Floats, Ints, Programme
from nba.decisions.candidates import (
    MODES,
    Averages,
    build_candidates,
    keep_preferred,
    may_contact,
    mode_averages,
    preferred_modes,
)
from nba.decisions.catalogue import ActionType, Catalogue
from nba.decisions.hashing import draw_arms, hash_ids, uniform
from nba.decisions.inputs import DecisionInputs, conform_inputs
from nba.decisions.policy import ContactPolicy, Levers
from nba.decisions.rounding import draw
from nba.decisions.settings import DecisionSettings
from nba.decisions.shortlist import Chances, chances
from nba.decisions.when import reachable_hours
from nba.decisions.writing import Stamp, write_actions
from nba.schema.words import Arm, Mode

#: Customers worked on at once; bounds memory.
CHUNK: Final = 100_000


@dataclass(frozen=True)
class Plan:
    """What `decide` returns.

    Parameters
    ----------
    log : DataFrame
        A row per eligible customer: as_of, customer_id, clerk_id, arm, closed (why no
        action is open, else null), p_shortlist, shortlisted, alternatives (with `none`),
        action_type and mode drawn (null and `none` where left alone), propensity.
    actions : DataFrame
        The columns of `nba actions export`; customers held out with mode `none`.
    clerks : DataFrame
        A row per working clerk: minutes, minutes_planned, minutes_expected, actions,
        value_expected, value_bound, price_per_minute.
    preferred_mode : DataFrame
        customer_id, mode: to be passed to the next day's `decide`.
    """

    log: pl.DataFrame
    actions: pl.DataFrame
    clerks: pl.DataFrame
    preferred_mode: pl.DataFrame


@dataclass(frozen=True)
class _Pool:
    """All customers of the day, sorted by id, with their best action per mode."""

    people: pl.DataFrame
    action: Ints
    value: Floats
    uplift: Floats
    preferred: Ints


def decide(
    inputs: Mapping[str, pl.DataFrame],
    catalogue: Catalogue,
    policy: ContactPolicy,
    levers: Levers,
    *,
    as_of: datetime,
    settings: DecisionSettings,
    policy_version: str = "",
    model_versions: Mapping[str, str] | None = None,
) -> Plan:
    """Decide whom each clerk contacts on the day of `as_of`, with what, when and why.

    Parameters
    ----------
    inputs : mapping of str to polars.DataFrame
        `customer_state` and `clerk` at least; see `nba.decisions.inputs` for all tables
        and columns. What is absent counts as empty.
    catalogue, policy, levers
        As read by `nba.decisions.load_decision_files`.
    as_of : datetime
        00:00 of the plan's day in the project's time zone; the plan sees what is earlier.
    settings : DecisionSettings
    policy_version : str
        The digest of the three files.
    model_versions : mapping of str to str
        Recorded with every action.

    Notes
    -----
    The same input gives the same plan. A propensity is the probability over both draws
    (shortlist and alternative) within the customer's arm; the arm itself is fixed by hash.
    """
    tables = conform_inputs(inputs)
    actions = catalogue.enabled
    pool = _evaluate(tables, actions, policy, levers, as_of=as_of, settings=settings)
    working = _working_clerks(tables, policy)
    programme, engine = _programme(pool, working, actions)
    day = f"{settings.seed}/{as_of.date().isoformat()}"
    rng = np.random.default_rng(_seed_of(day))
    chance = chances(programme, uniform(pool.people["customer_id"][engine], f"few/{day}"), settings)
    x = np.where(chance.listed[:, None], chance.given_listed, 0.0)
    drawn = draw(programme.clerk, x, programme.minutes, rng=rng, clerks=len(working))
    log = _log(pool, programme, chance, drawn, engine, actions, as_of=as_of)
    log = log.with_columns(policy_version=pl.lit(policy_version))
    stamp = Stamp(as_of, policy_version, model_versions or {})
    rows = write_actions(tables, _listed(log), catalogue, policy, stamp, settings)
    clerks = _clerk_report(working, programme, chance, drawn)
    modes = np.array([str(mode) for mode in MODES], dtype=object)
    kept = pool.people.select("customer_id").with_columns(
        mode=pl.Series(modes[pool.preferred], dtype=pl.String)
    )
    return Plan(log, rows, clerks, kept)


def _seed_of(text: str) -> int:
    return int(hash_ids(pl.Series([text]), "seed")[0])


def _eligible(tables: DecisionInputs, actions: tuple[ActionType, ...]) -> pl.DataFrame:
    """Return the customers whom some action may reach, sorted by id, with their arm's unit."""
    friends_only = all(action.needs_friend or "is_friend" in action.eligible for action in actions)
    state = tables["customer_state"].filter(may_contact())
    if friends_only:
        state = state.filter(pl.col("is_friend"))
    first_group = (
        tables["memberships"]
        .sort("customer_id", "joined_at", "group_id")
        .unique("customer_id", keep="first", maintain_order=True)
        .select("customer_id", "group_id")
    )
    return (
        state.select("customer_id", "clerk_id")
        .join(first_group, on="customer_id", how="left")
        .with_columns(unit=pl.coalesce(pl.concat_str(pl.lit("group:"), "group_id"), "customer_id"))
        .sort("customer_id")
    )


def _evaluate(
    tables: DecisionInputs,
    actions: tuple[ActionType, ...],
    policy: ContactPolicy,
    levers: Levers,
    *,
    as_of: datetime,
    settings: DecisionSettings,
) -> _Pool:
    """Price every eligible customer, a chunk at a time."""
    people = _eligible(tables, actions)
    arms = draw_arms(
        people["unit"],
        salt=settings.salt,
        day=as_of.date(),
        shares=settings.arms,
        period_days=settings.arm_period_days,
    )
    people = people.select("customer_id", "clerk_id").with_columns(arms)
    averages = mode_averages(tables)
    parts = [
        _evaluate_chunk(
            tables.of_customers(people["customer_id"][start : start + CHUNK]),
            actions, policy, levers, averages, as_of, settings,
        )
        for start in range(0, people.height, CHUNK)
    ]  # fmt: skip
    closed = [part[0] for part in parts]
    arrays = [
        np.concatenate([part[i] for part in parts]) if parts else np.zeros((0, len(MODES)))
        for i in (1, 2, 3)
    ]
    preferred = np.concatenate([part[4] for part in parts]) if parts else np.zeros(0, dtype=int)
    people = people.with_columns(
        (pl.concat(closed) if closed else pl.Series([], dtype=pl.String)).alias("closed")
    )
    return _Pool(people, arrays[0].astype(np.int64), arrays[1], arrays[2], preferred)


def _evaluate_chunk(
    tables: DecisionInputs,
    actions: tuple[ActionType, ...],
    policy: ContactPolicy,
    levers: Levers,
    averages: Averages,
    as_of: datetime,
    settings: DecisionSettings,
) -> tuple[pl.Series, Ints, Floats, Floats, Ints]:
    found = build_candidates(
        tables, actions, policy, levers, averages, as_of=as_of, settings=settings
    )
    best = found.best_per_mode()
    at = np.maximum(best, 0)
    value = np.where(best >= 0, np.take_along_axis(found.value, at, 1), 0.0)
    gain = found.factors.uplift * found.factors.relevance
    uplift = np.where(best >= 0, np.take_along_axis(gain, at, 1), 0.0)
    reached = found.stage.max(axis=1, initial=0)
    names = np.array(["not_eligible", "not_applicable", "not_suitable", "policy", ""], dtype=object)
    closed = pl.Series(names[reached], dtype=pl.String)
    closed = pl.select(
        pl.when(closed == "policy")
        .then(pl.coalesce(found.rest, pl.lit("policy")))
        .when(closed != "")
        .then(closed)
    ).to_series()
    mode_uplift, mode_lower = _mode_table(tables, found.facts)
    _, preferred = keep_preferred(mode_uplift, mode_lower, preferred_modes(tables, found.facts))
    return closed, best, value, uplift, preferred


def _mode_table(tables: DecisionInputs, facts: pl.DataFrame) -> tuple[Floats, Floats]:
    scores = tables["mode"]
    frame = facts.select("customer_id")
    for mode in MODES:
        of_mode = scores.filter(pl.col("mode") == str(mode)).unique("customer_id")
        frame = frame.join(
            of_mode.select(
                "customer_id",
                pl.col("uplift_amount").alias(f"u_{mode}"),
                pl.col("uplift_lower").alias(f"l_{mode}"),
            ),
            on="customer_id",
            how="left",
            maintain_order="left",
        )
    filled = frame.with_columns(pl.exclude("customer_id").fill_null(0.0))
    uplift = filled.select([f"u_{mode}" for mode in MODES]).to_numpy()
    lower = filled.select([f"l_{mode}" for mode in MODES]).to_numpy()
    return uplift, lower


def _working_clerks(tables: DecisionInputs, policy: ContactPolicy) -> pl.DataFrame:
    """Return the clerks who work today and can reach somebody, sorted by id."""
    hours = reachable_hours(tables["clerk"], policy).filter(pl.col("closes") > pl.col("opens"))
    return (
        tables["clerk"]
        .filter(pl.col("works_today") & (pl.col("minutes_per_day") > 0))
        .join(hours, on="clerk_id")
        .sort("clerk_id")
        .with_columns(at=pl.int_range(pl.len()))
    )


def _programme(
    pool: _Pool, working: pl.DataFrame, actions: tuple[ActionType, ...]
) -> tuple[Programme, Ints]:
    """Return the programme of the engine arm and the rows of its customers in the pool."""
    at = (
        pool.people.select("clerk_id", "arm")
        .join(working.select("clerk_id", "at"), on="clerk_id", how="left", maintain_order="left")
        .with_columns(pl.col("at").fill_null(-1))
    )
    clerk = at["at"].to_numpy()
    rows = np.flatnonzero((clerk >= 0) & (at["arm"] == str(Arm.ENGINE)).to_numpy())
    order = rows[np.argsort(clerk[rows], kind="stable")]
    length = np.array([action.minutes for action in actions])
    action = pool.action[order]
    minutes = np.where(action >= 0, length[np.maximum(action, 0)], 0.0)
    return (
        Programme(
            clerk=clerk[order],
            value=pool.value[order],
            minutes=minutes,
            open=action >= 0,
            budget=working["minutes_per_day"].to_numpy().astype(np.float64),
        ),
        order,
    )


def _log(
    pool: _Pool,
    programme: Programme,
    chance: Chances,
    drawn: Ints,
    engine: Ints,
    actions: tuple[ActionType, ...],
    *,
    as_of: datetime,
) -> pl.DataFrame:
    """Return the decision log: a row and a full probability vector per eligible customer."""
    n, width = pool.value.shape
    x = np.zeros((n, width))
    x[engine] = chance.marginal
    p_shortlist, listed = np.zeros(n), np.zeros(n, dtype=bool)
    p_shortlist[engine], listed[engine] = chance.p_shortlist, chance.listed
    choice = np.full(n, -1, dtype=np.int64)
    choice[engine] = drawn
    explored = np.zeros(n, dtype=bool)
    picked = drawn >= 0
    rows = np.flatnonzero(picked)
    explored[engine[rows]] = chance.at_floor[rows, drawn[rows]]
    names = np.array([action.action_type for action in actions], dtype=object)
    length = np.array([action.minutes for action in actions])
    chosen = np.maximum(choice, 0)[:, None]
    of_choice = np.take_along_axis(pool.action, chosen, 1)[:, 0]
    contact = choice >= 0
    p = np.where(contact, np.take_along_axis(x, chosen, 1)[:, 0], 1.0 - x.sum(axis=1))
    modes = np.array([str(mode) for mode in MODES], dtype=object)

    def picked_number(values: Floats) -> Floats:
        number: Floats = np.where(contact, np.take_along_axis(values, chosen, 1)[:, 0], 0.0)
        return number

    minutes = np.where(pool.action >= 0, length[np.maximum(pool.action, 0)], 0.0)
    off = np.ones(n, dtype=bool)
    off[engine] = False
    engine_arm = pool.people["arm"] == str(Arm.ENGINE)
    frame = pool.people.with_columns(
        closed=pl.when(pl.Series(off) & engine_arm)
        .then(pl.coalesce("closed", pl.lit("clerk_off")))
        .otherwise("closed"),
        as_of=pl.lit(as_of),
        p_shortlist=pl.Series(p_shortlist),
        shortlisted=pl.Series(listed),
        alternatives=_alternatives(pool, x, minutes, names),
        action_type=pl.when(pl.Series(contact)).then(
            pl.Series(np.where(contact, names[np.maximum(of_choice, 0)], ""), dtype=pl.String)
        ),
        mode=pl.Series(
            np.where(contact, modes[np.maximum(choice, 0)], str(Mode.NONE)), dtype=pl.String
        ),
        propensity=pl.Series(p),
        explored=pl.Series(explored),
        value=pl.Series(picked_number(pool.value)),
        uplift=pl.Series(picked_number(pool.uplift)),
        minutes=pl.Series(picked_number(minutes)),
    )
    first = ["as_of", "customer_id", "clerk_id", "arm", "closed"]
    return frame.select(*first, pl.exclude(first))


def _alternatives(pool: _Pool, x: Floats, minutes: Floats, names: np.ndarray) -> pl.Series:
    """Return the open alternatives of each customer, `none` last, as lists of structs."""
    n, width = pool.value.shape
    is_open = pool.action >= 0
    columns: dict[str, np.ndarray] = {
        "action_type": np.where(is_open, names[np.maximum(pool.action, 0)], ""),
        "value": pool.value,
        "minutes": minutes,
        "probability": x,
    }
    none = {
        "action_type": np.full((n, 1), str(Mode.NONE), dtype=object),
        "value": np.zeros((n, 1)),
        "minutes": np.zeros((n, 1)),
        "probability": 1.0 - x.sum(axis=1, keepdims=True),
    }
    keep = np.concatenate([is_open, np.ones((n, 1), dtype=bool)], axis=1).ravel()
    flat = {
        name: np.concatenate([columns[name], none[name]], axis=1).ravel()[keep] for name in columns
    }
    all_modes = [*(str(mode) for mode in MODES), str(Mode.NONE)]
    flat["mode"] = np.tile(np.array(all_modes, dtype=object), n)[keep]
    row = np.repeat(np.arange(n), width + 1)[keep]
    table = pl.DataFrame(
        {
            "row": row,
            "action_type": pl.Series(flat["action_type"], dtype=pl.String),
            "mode": pl.Series(flat["mode"], dtype=pl.String),
            "value": flat["value"],
            "minutes": flat["minutes"],
            "probability": flat["probability"],
        }
    )
    grouped = table.group_by("row", maintain_order=True).agg(
        pl.struct("action_type", "mode", "value", "minutes", "probability").alias("alternatives")
    )
    return grouped["alternatives"]


def _listed(log: pl.DataFrame) -> pl.DataFrame:
    """Return the drawn contacts, and the customers held out."""
    return log.filter(
        pl.col("action_type").is_not_null() | (pl.col("arm") == str(Arm.HOLDOUT))
    ).drop("alternatives")


def _clerk_report(
    working: pl.DataFrame, programme: Programme, chance: Chances, drawn: Ints
) -> pl.DataFrame:
    clerks = working.height
    taken = drawn >= 0
    at = np.maximum(drawn, 0)[:, None]
    spent = np.where(taken, np.take_along_axis(programme.minutes, at, 1)[:, 0], 0.0)
    value = np.where(taken, np.take_along_axis(programme.value, at, 1)[:, 0], 0.0)
    expected = chance.marginal

    def total(weights: Floats) -> Floats:
        return np.bincount(programme.clerk, weights=weights, minlength=clerks).astype(np.float64)

    return working.select("clerk_id", "store_id", minutes="minutes_per_day").with_columns(
        minutes_planned=pl.Series(total(spent)),
        minutes_expected=pl.Series(total((expected * programme.minutes).sum(axis=1))),
        actions=pl.Series(total(taken.astype(float))).cast(pl.Int64),
        value_planned=pl.Series(total(value)),
        value_expected=pl.Series(total((expected * programme.value).sum(axis=1))),
        value_bound=pl.Series(chance.bound),
        price_per_minute=pl.Series(chance.price),
    )
