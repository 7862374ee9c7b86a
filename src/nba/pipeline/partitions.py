"""A night in partitions: scores and plan of some customers at a time, so that memory holds no more.

A partition is the customers whom the clerks of some stores serve today. Clerks of a store lend each
other minutes, so that a store is never split; nothing else of a plan passes from store to store but
the averages that stand for what is not known of a customer, and those are of the whole shop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import polars as pl

from nba.decisions.decide import decide
from nba.decisions.hashing import uniform
from nba.decisions.inputs import DecisionInputs, with_customers
from nba.decisions.modes import Averages, mode_averages
from nba.decisions.outlook import outlook
from nba.decisions.rules import DecisionRules
from nba.decisions.substitution import with_substitutes
from nba.errors import ConfigError
from nba.models.affinity.offers import offers
from nba.models.base import ModelInputs
from nba.models.needs.words import BARE_NEEDS
from nba.pipeline.arms import own_models
from nba.pipeline.context import RunContext
from nba.pipeline.inputs import STATE
from nba.pipeline.plan import (
    GROUP,
    INPUTS,
    OUTLOOK,
    PLAN_TABLES,
    RESERVE,
    SHIFTS,
    STAND_INS,
    day_tables,
    keep_rules,
    plan,
    plan_inputs,
    plan_report,
    post_tables,
)
from nba.pipeline.ports import RunFolder
from nba.pipeline.score import GROUP as SCORES
from nba.pipeline.score import Scores, model_inputs, noted_models, score, score_all
from nba.schema.words import CLERK_ID, CUSTOMER_ID

#: Where a run keeps what partitions left, until the plan is put together.
PARTITIONS: Final = "partitions"
OFFERS: Final = "offers"
#: Stands in the group of a partition once all its tables do.
_DONE: Final = "done"
#: How the tables of a plan stand; others by customer.
_ORDER: Final = {
    "actions": ("clerk_id", "rank", "customer_id"),
    "clerks": ("clerk_id",),
    RESERVE: ("clerk_id", "rank", "mode"),
}
#: Customers whom no clerk serves go by hash into so many units for each part.
_UNITS: Final = 4
#: What of a score table the averages and the posts of the whole shop read.
_READ: Final = {
    "mode": ("customer_id", "mode", "uplift_amount", "risk", "lost_share", "reach"),
    "timing": ("customer_id", "expected_margin_365d"),
}


@dataclass(frozen=True)
class Partitions:
    """Which partition each customer and each clerk belongs to.

    Parameters
    ----------
    count : int
    group : str
        Where a run keeps what each of them left; another group for other inputs or models.
    customers : DataFrame
        customer_id, part.
    clerks : DataFrame
        clerk_id, part.
    """

    count: int
    group: str
    customers: pl.DataFrame
    clerks: pl.DataFrame

    @classmethod
    def of(cls, context: RunContext, count: int) -> Self:
        """Return the parts of a run's day, about equal in customers; the same at every call."""
        store, lake = context.ports.feature_store, context.ports.tables
        tables = DecisionInputs(
            {
                STATE: store.snapshot(STATE, context.as_of),
                "clerk": store.snapshot("clerk", context.as_of),
                "friendships": lake.collect(lake.at(context.as_of)["friendships"]),
            }
        )
        served = with_substitutes(tables)[STATE].select(CUSTOMER_ID, CLERK_ID)
        clerks = tables["clerk"].select(
            CLERK_ID, unit=pl.concat_str(pl.lit("store:"), pl.col("store_id").fill_null(""))
        )
        bucket = np.floor(uniform(served[CUSTOMER_ID], "part") * count * _UNITS).astype(np.int64)
        units = served.join(clerks, on=CLERK_ID, how="left", maintain_order="left").select(
            CUSTOMER_ID, unit=pl.coalesce("unit", pl.format("hash:{}", pl.Series(bucket)))
        )
        places = _places(pl.concat([units["unit"], clerks["unit"]]), count)
        return cls(
            count,
            f"{PARTITIONS}/{_digest(context, count)}",
            units.join(places, on="unit").select(CUSTOMER_ID, "part"),
            clerks.join(places, on="unit").select(CLERK_ID, "part"),
        )

    def context(self, context: RunContext, number: int) -> RunContext:
        """Return the context of a partition, which reads its customers alone."""
        among = self.customers.filter(pl.col("part") == number).select(CUSTOMER_ID)
        context.progress(f"partition {number + 1} of {self.count}: {among.height:,} customers")
        return replace(context, among=among)

    def clerks_of(self, number: int, table: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the clerks of a part."""
        mine = self.clerks.filter(pl.col("part") == number)
        return table.join(mine, on=CLERK_ID, how="semi", maintain_order="left")

    def name(self, number: int, group: str, table: str) -> str:
        """Return the name under which a run keeps a table of a partition."""
        return f"{self.group}/{number}/{group}/{table}"

    def keep(
        self, folder: RunFolder, number: int, group: str, tables: Mapping[str, pl.DataFrame]
    ) -> None:
        """Keep what a step made of a partition.

        Parameters
        ----------
        folder : RunFolder
        number : int
            The partition, from 0.
        group : str
            What the step makes.
        tables : mapping of str to DataFrame
        """
        for table, rows in tables.items():
            folder.write(self.name(number, group, table), rows)
        folder.write_text(f"{self.group}/{number}/{group}/{_DONE}", "")

    def missing(self, folder: RunFolder, group: str) -> list[int]:
        """Return the partitions of which a step has made nothing yet, from 0."""
        return [
            number
            for number in range(self.count)
            if folder.read_text(f"{self.group}/{number}/{group}/{_DONE}") is None
        ]

    def join(self, folder: RunFolder, group: str, tables: Iterable[str], into: str = "") -> None:
        """Put the tables of all partitions together; the log, which is large, stays by partition.

        Parameters
        ----------
        folder : RunFolder
        group : str
        tables : iterable of str
        into : str
            The group of the whole; the same by default.
        """
        for table in tables:
            rows = pl.concat(
                [folder.scan(self.name(number, group, table)) for number in range(self.count)]
            )
            if group == GROUP and table != "log":
                rows = rows.sort(_ORDER.get(table, (CUSTOMER_ID,)), nulls_last=True)
            folder.write(f"{into or group}/{table}", rows)


def _digest(context: RunContext, count: int) -> str:
    """Return a digest of all that decides what a partition leaves."""
    manifest = context.manifest
    content = [manifest.inputs, manifest.steps.get("train", {}).get("versions"), count]
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _places(units: pl.Series, count: int) -> pl.DataFrame:
    """Return the part of each unit, the largest first to where the fewest are."""
    sizes = units.value_counts(name="size").sort("size", "unit", descending=[True, False])
    load, places = [0] * count, []
    for size in sizes["size"]:
        places.append(load.index(min(load)))
        load[places[-1]] += size
    return sizes.select("unit", part=pl.Series(places, dtype=pl.Int64))


def score_night(context: RunContext) -> dict[str, Any]:
    """Score every customer, in as many partitions as the settings say."""
    count = context.settings.partitions
    if count == 1:
        return score(context)
    partitions = Partitions.of(context, count)
    for number in partitions.missing(context.folder, SCORES):
        score_partition(context, partitions, number)
    return join_scores(context, partitions)


def plan_night(context: RunContext, rules: DecisionRules) -> dict[str, Any]:
    """Decide for every eligible customer, in as many partitions as the settings say."""
    count = context.settings.partitions
    if count == 1:
        return plan(context, rules)
    planned = PartitionedPlan.of(context, Partitions.of(context, count), rules)
    for number in planned.partitions.missing(context.folder, GROUP):
        planned.decide(number)
    return planned.join()


def score_partition(context: RunContext, partitions: Partitions, number: int) -> None:
    """Score the customers of a partition with the models that the run noted."""
    part = partitions.context(context, number)
    scores = score_all(noted_models(context), model_inputs(part), as_of=part.as_of)
    partitions.keep(context.folder, number, SCORES, scores.items())


def join_scores(context: RunContext, partitions: Partitions) -> dict[str, Any]:
    """Put the scores of all partitions together; return their rows."""
    names = list(Scores.__annotations__)
    partitions.join(context.folder, SCORES, names)
    return {name: _rows(context.folder.scan(f"{SCORES}/{name}")) for name in names}


@dataclass(frozen=True)
class PartitionedPlan:
    """The plan of a day, partition by partition, on the scores of everybody.

    Parameters
    ----------
    context : RunContext
        Of the run.
    partitions : Partitions
    rules : DecisionRules
    read : mapping of str to DataFrame
        What a plan reads of all customers beside features and scores.
    averages : Averages
        Of the whole shop.
    """

    context: RunContext
    partitions: Partitions
    rules: DecisionRules
    read: Mapping[str, pl.DataFrame]
    averages: Averages

    @classmethod
    def of(cls, context: RunContext, partitions: Partitions, rules: DecisionRules) -> Self:
        """Return the plan, of which nothing is decided yet.

        Parameters
        ----------
        context : RunContext
        partitions : Partitions
        rules : DecisionRules
            Of the day.

        Raises
        ------
        ConfigError
            When an arm has a model of its own: its scores are of the whole shop.
        """
        for name in rules.variants:
            if own_models(rules, name):
                raise ConfigError(
                    f"the test's arm {name} has a model of its own",
                    expected="a night in one piece, or arms that change files alone",
                    found=f"{partitions.count} partitions",
                    next_step="set `partitions: 1` in nba.yaml, or stop the test",
                )
        read = plan_inputs(_of_nobody(context, partitions))
        return cls(context, partitions, rules, read, shop_averages(context.folder, read[STATE]))

    @property
    def _names(self) -> list[str]:
        """The tables that are put together."""
        served = [RESERVE, STAND_INS] if self.context.ports.is_served else []
        return [*PLAN_TABLES, OUTLOOK, *served]

    def decide(self, number: int) -> None:
        """Decide for the customers of a partition."""
        context, as_of = self.context, self.context.as_of
        given = self._inputs(partition := self.partitions.context(context, number))
        given[OFFERS] = offers(ModelInputs(given), given["affinity"], as_of=as_of)
        decided = decide(given, self.rules, as_of=as_of, averages=self.averages)
        decided = replace(decided, clerks=self.partitions.clerks_of(number, decided.clerks))
        tables = {name: getattr(decided, name) for name in PLAN_TABLES}
        tables |= {OUTLOOK: outlook(given, self.rules, as_of=as_of), OFFERS: given[OFFERS]}
        if partition.ports.is_served:
            tables |= day_tables(decided, self.rules, given, as_of, self.averages)
        self.partitions.keep(context.folder, number, GROUP, tables)

    def join(self) -> dict[str, Any]:
        """Put all partitions together, decide on posts, and keep what the plan stood on."""
        context, folder, rules = self.context, self.context.folder, self.rules
        for name, table in self.read.items():
            folder.write(f"{INPUTS}/{name}", table)
        keep_rules(context, rules)
        self.partitions.join(folder, GROUP, [OFFERS], into=INPUTS)
        self.partitions.join(folder, GROUP, self._names)
        small = _of_nobody(context, self.partitions)
        whole = {**small.inputs, **self.read, **_light_scores(folder)}
        ledger = folder.read(f"{GROUP}/clerks")
        for name, table in post_tables(ledger, rules, whole, context.as_of).items():
            folder.write(f"{GROUP}/{name}", table)
        if context.ports.is_served:  # the shifts of every clerk stand in each partition
            shifts = folder.scan(self.partitions.name(0, GROUP, SHIFTS))
            folder.write(f"{GROUP}/{SHIFTS}", shifts)
        folder.remove(PARTITIONS)
        contacts = folder.scan(f"{GROUP}/actions").filter(pl.col("mode") != "none")
        eligible = _rows(folder.scan(f"{GROUP}/log"))
        return plan_report(context, rules, eligible=eligible, actions=_rows(contacts))

    def _inputs(self, part: RunContext) -> dict[str, pl.DataFrame]:
        """Return what the decisions of a partition stand on."""
        assert part.among is not None
        among, scan = part.among, part.folder.scan
        scores = {
            name: scan(f"{SCORES}/{name}").join(among.lazy(), on=CUSTOMER_ID, how="semi").collect()
            for name in Scores.__annotations__
        }
        read = dict(self.read)
        read["responses"] = with_customers(read["responses"], read["interactions"])
        mine = {
            name: table.join(among, on=CUSTOMER_ID, how="semi", maintain_order="left")
            if CUSTOMER_ID in table.columns
            else table
            for name, table in read.items()
        }
        return {**part.inputs, **scores, **mine}


def _of_nobody(context: RunContext, partitions: Partitions) -> RunContext:
    """Return the context in which tables of customers are empty, and others are whole."""
    return replace(context, among=partitions.customers.select(CUSTOMER_ID).clear())


def _rows(table: pl.LazyFrame) -> int:
    return int(table.select(pl.len()).collect().item())


def shop_averages(folder: RunFolder, state: pl.DataFrame) -> Averages:
    """Return what stands for what is not known of a customer, over the whole shop.

    Parameters
    ----------
    folder : RunFolder
        With the scores of everybody.
    state : DataFrame
        `customer_state` of everybody, with what they said over the API.
    """
    needs = folder.scan(f"{SCORES}/needs").filter(pl.col("need").is_in(list(map(str, BARE_NEEDS))))
    tables = {**_light_scores(folder), "needs": needs.collect(), STATE: state}
    return mode_averages(DecisionInputs(tables))


def _light_scores(folder: RunFolder) -> dict[str, pl.DataFrame]:
    """Return what of the scores of everybody is read beside the parts."""
    return {
        name: folder.scan(f"{SCORES}/{name}").select(columns).collect()
        for name, columns in _READ.items()
    }
