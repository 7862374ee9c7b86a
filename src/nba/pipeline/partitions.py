"""A night in partitions: scores and plan of some customers at a time, so that memory holds no more.

A partition is the customers whom the clerks of some stores serve today. Clerks of a store lend each
other minutes, so that a store is never split; nothing else of a plan passes from store to store but
the averages that stand for what is not known of a customer, and those are of the whole shop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final, Self

import numpy as np
import polars as pl

from nba.decisions.decide import decide
from nba.decisions.hashing import uniform
from nba.decisions.inputs import DecisionInputs, with_customers
from nba.decisions.modes import AVERAGED_OF_NEEDS, Averages, averages_of, mode_averages
from nba.decisions.outlook import outlook
from nba.decisions.rules import DecisionRules
from nba.decisions.substitution import with_substitutes
from nba.errors import ConfigError
from nba.models.affinity.offers import offers
from nba.models.base import ModelInputs
from nba.models.needs.words import BARE_NEEDS
from nba.models.purchases import PURCHASES
from nba.pipeline.arms import own_models
from nba.pipeline.context import RunContext
from nba.pipeline.inputs import STATE, days_read
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
from nba.pipeline.score import Scores, model_inputs, score, score_all
from nba.schema.words import CLERK_ID, CUSTOMER_ID

#: Where a run keeps what partitions left, until the plan is put together.
PARTITIONS: Final = "partitions"
OFFERS: Final = "offers"
#: Who is in which partition.
CUSTOMERS: Final = "customers"
CLERKS: Final = "clerks"
#: Answers with the customer whose contact they answer; and what stands for what is not known.
_ANSWERED: Final = "answered"
_AVERAGES: Final = "averages.json"
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
    """Which partition each customer and each clerk belongs to, as a run keeps it.

    Parameters
    ----------
    count : int
    group : str
        Where a run keeps what each of them left; another group for other inputs or models.
    folder : RunFolder
        Of the run.
    """

    count: int
    group: str
    folder: RunFolder

    @classmethod
    def of(cls, context: RunContext, count: int) -> Self:
        """Return the parts of a run's day; `share_out` says who is in which."""
        return cls(count, f"{PARTITIONS}/{_digest(context, count)}", context.folder)

    def share_out(self, context: RunContext) -> None:
        """Keep who is in which part, about equal in customers, where it is not kept already.

        It is the same whenever it is done.
        """
        if self.folder.has(f"{self.group}/{CLERKS}"):
            return
        store, lake = context.ports.feature_store, context.ports.tables
        tables = DecisionInputs(
            {
                STATE: store.snapshot(STATE, context.as_of),
                "clerk": store.snapshot("clerk", context.as_of),
                "friendships": lake.collect(context.tables["friendships"]),
            }
        )
        served = with_substitutes(tables)[STATE].select(CUSTOMER_ID, CLERK_ID)
        clerks = tables["clerk"].select(
            CLERK_ID, unit=pl.concat_str(pl.lit("store:"), pl.col("store_id").fill_null(""))
        )
        draws = uniform(served[CUSTOMER_ID], "part")
        bucket = np.floor(draws * self.count * _UNITS).astype(np.int64)
        units = served.join(clerks, on=CLERK_ID, how="left", maintain_order="left").select(
            CUSTOMER_ID, unit=pl.coalesce("unit", pl.format("hash:{}", pl.Series(bucket)))
        )
        places = _places(pl.concat([units["unit"], clerks["unit"]]), self.count)
        parts = units.join(places, on="unit").select(CUSTOMER_ID, "part")
        self._share_purchases(context, parts)
        self.folder.write(f"{self.group}/{CUSTOMERS}", parts)
        self.folder.write(
            f"{self.group}/{CLERKS}", clerks.join(places, on="unit").select(CLERK_ID, "part")
        )

    def _share_purchases(self, context: RunContext, parts: pl.DataFrame) -> None:
        """Keep the purchases of each part: putting them together takes all lines of the shop."""
        tables = context.ports.tables
        bought = tables.purchases(
            context.as_of, window_days=days_read(context.ports), tables=context.tables
        )
        mine = bought.join(parts, on=CUSTOMER_ID, maintain_order="left")
        for number in range(self.count):
            rows = mine.filter(pl.col("part") == number).drop("part")
            self.folder.write(self._purchases(number), rows)

    def _purchases(self, number: int) -> str:
        return f"{self.group}/{number}/{PURCHASES}"

    def members(self, name: str, number: int) -> pl.LazyFrame:
        """Return the `customers` or `clerks` of a part, by their ids alone."""
        return (
            self.folder.scan(f"{self.group}/{name}").filter(pl.col("part") == number).drop("part")
        )

    def context(self, context: RunContext, number: int) -> RunContext:
        """Return the context of a partition, which reads its customers alone."""
        among = self.members(CUSTOMERS, number).collect()
        context.progress(f"partition {number + 1} of {self.count}: {among.height:,} customers")
        return replace(context, among=among, purchases=self.folder.read(self._purchases(number)))

    def of_nobody(self, context: RunContext) -> RunContext:
        """Return the context in which tables of customers are empty, and others are whole."""
        purchases = self.folder.scan(self._purchases(0)).clear().collect()
        nobody = pl.DataFrame(schema={CUSTOMER_ID: pl.String})
        return replace(context, among=nobody, purchases=purchases)

    def clerks_of(self, number: int, table: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the clerks of a part."""
        mine = self.members(CLERKS, number).collect()
        return table.join(mine, on=CLERK_ID, how="semi", maintain_order="left")

    def name(self, number: int, group: str, table: str) -> str:
        """Return the name under which a run keeps a table of a partition."""
        return f"{self.group}/{number}/{group}/{table}"

    def keep(self, number: int, group: str, tables: Mapping[str, pl.DataFrame]) -> None:
        """Keep what a step, named by the group that it makes, made of a partition (from 0)."""
        for table, rows in tables.items():
            self.folder.write(self.name(number, group, table), rows)
        self.folder.write_text(f"{self.group}/{number}/{group}/{_DONE}", "")

    def missing(self, group: str) -> list[int]:
        """Return the partitions of which a step has made nothing yet, from 0."""
        return [
            number
            for number in range(self.count)
            if self.folder.read_text(f"{self.group}/{number}/{group}/{_DONE}") is None
        ]

    def join(self, group: str, tables: Iterable[str], into: str = "") -> None:
        """Put the tables of all partitions together; the log, which is large, stays by partition.

        `into` is the group of the whole; the same by default.
        """
        for table in tables:
            rows = pl.concat(
                [self.folder.scan(self.name(number, group, table)) for number in range(self.count)]
            )
            if group == GROUP and table != "log":
                rows = rows.sort(_ORDER.get(table, (CUSTOMER_ID,)), nulls_last=True)
            self.folder.write(f"{into or group}/{table}", rows)


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
    """Score every customer, in as many partitions as the night has."""
    ports, count = context.ports, context.ports.parts
    if count == 1:
        return score(context)
    ports.spread(context, partial(_share_out, count), [0])
    missing = Partitions.of(context, count).missing(SCORES)
    ports.spread(context, partial(_score, count), missing)
    (report,) = ports.spread(context, partial(_join_scores, count), [0])
    return dict(report)


def plan_night(context: RunContext, rules: DecisionRules) -> dict[str, Any]:
    """Decide for every eligible customer, in as many partitions as the night has."""
    ports, count = context.ports, context.ports.parts
    if count == 1:
        return plan(context, rules)
    partitions = Partitions.of(context, count)
    check_whole_scores(rules, count)
    missing = partitions.missing(GROUP)
    ports.spread(context, partial(_share_out, count), [0])
    ports.spread(context, partial(_prepare, count, rules, len(missing) == count), [0])
    ports.spread(context, partial(_decide, count, rules), missing)
    (report,) = ports.spread(context, partial(_join_plan, count, rules), [0])
    return dict(report)


def _share_out(count: int, context: RunContext, _: int) -> None:
    Partitions.of(context, count).share_out(context)


def _score(count: int, context: RunContext, number: int) -> None:
    score_partition(context, Partitions.of(context, count), number)


def _join_scores(count: int, context: RunContext, _: int) -> dict[str, Any]:
    return join_scores(context, Partitions.of(context, count))


def _prepare(count: int, rules: DecisionRules, anew: bool, context: RunContext, _: int) -> None:
    PartitionedPlan(context, Partitions.of(context, count), rules).prepare(anew=anew)


def _decide(count: int, rules: DecisionRules, context: RunContext, number: int) -> None:
    PartitionedPlan(context, Partitions.of(context, count), rules).decide(number)


def _join_plan(count: int, rules: DecisionRules, context: RunContext, _: int) -> dict[str, Any]:
    return PartitionedPlan(context, Partitions.of(context, count), rules).join()


def check_whole_scores(rules: DecisionRules, count: int) -> None:
    """Refuse to plan in partitions where an arm has a model of its own.

    Raises
    ------
    ConfigError
        Its scores are of the whole shop.
    """
    for name in rules.variants:
        if own_models(rules, name):
            raise ConfigError(
                f"the test's arm {name} has a model of its own",
                expected="a night in one piece, or arms that change files alone",
                found=f"{count} partitions",
                next_step="set `partitions: 1` and `score_engine: local` in nba.yaml, "
                "or stop the test",
            )


def score_partition(context: RunContext, partitions: Partitions, number: int) -> None:
    """Score the customers of a partition with the models that the run noted."""
    part = partitions.context(context, number)
    scores = score_all(context.models, model_inputs(part), as_of=part.as_of)
    partitions.keep(number, SCORES, scores.items())


def join_scores(context: RunContext, partitions: Partitions) -> dict[str, Any]:
    """Put the scores of all partitions together; return their rows."""
    names = list(Scores.__annotations__)
    partitions.join(SCORES, names)
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
        Of the day.
    """

    context: RunContext
    partitions: Partitions
    rules: DecisionRules

    @property
    def _read(self) -> str:
        """Where is kept what a plan reads beside features and scores."""
        return f"{self.partitions.group}/{INPUTS}"

    def prepare(self, *, anew: bool = False) -> None:
        """Keep what all partitions read: of the whole shop, once; `anew` also where it is kept."""
        folder = self.context.folder
        if not anew and folder.read_text(f"{self._read}/{_AVERAGES}") is not None:
            return
        nobody = self.partitions.of_nobody(self.context)
        read = plan_inputs(nobody, self.context.tables)
        answered = with_customers(read["responses"], read["interactions"])
        for name, table in {**read, _ANSWERED: answered}.items():
            folder.write(f"{self._read}/{name}", table)
        averages = shop_averages(folder, read[STATE])
        kept = {"tables": list(read), "averages": asdict(averages)}
        folder.write_text(f"{self._read}/{_AVERAGES}", json.dumps(kept))

    def _kept(self) -> tuple[list[str], Averages]:
        """Return the names of the tables that were prepared, and the averages of the shop."""
        text = self.context.folder.read_text(f"{self._read}/{_AVERAGES}")
        assert text is not None, "a plan is prepared before a partition is decided"
        kept = json.loads(text)
        return kept["tables"], averages_of(kept["averages"])

    @property
    def _names(self) -> list[str]:
        """The tables that are put together."""
        served = [RESERVE, STAND_INS] if self.context.ports.is_served else []
        return [*PLAN_TABLES, OUTLOOK, *served]

    def decide(self, number: int) -> None:
        """Decide for the customers of a partition."""
        context, as_of = self.context, self.context.as_of
        names, averages = self._kept()
        partition = self.partitions.context(context, number)
        given = self._inputs(partition, number, names)
        given[OFFERS] = offers(ModelInputs(given), given["affinity"], as_of=as_of)
        decided = decide(given, self.rules, as_of=as_of, averages=averages)
        decided = replace(decided, clerks=self.partitions.clerks_of(number, decided.clerks))
        tables = {name: getattr(decided, name) for name in PLAN_TABLES}
        tables |= {OUTLOOK: outlook(given, self.rules, as_of=as_of), OFFERS: given[OFFERS]}
        if partition.ports.is_served:
            tables |= day_tables(decided, self.rules, given, as_of, averages)
        self.partitions.keep(number, GROUP, tables)

    def join(self) -> dict[str, Any]:
        """Put all partitions together, decide on posts, and keep what the plan stood on."""
        context, folder, rules = self.context, self.context.folder, self.rules
        read = {name: folder.read(f"{self._read}/{name}") for name in self._kept()[0]}
        for name, table in read.items():
            folder.write(f"{INPUTS}/{name}", table)
        keep_rules(context, rules)
        self.partitions.join(GROUP, [OFFERS], into=INPUTS)
        self.partitions.join(GROUP, self._names)
        whole = {**self.partitions.of_nobody(context).inputs, **read, **_light_scores(folder)}
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

    def _inputs(
        self, part: RunContext, number: int, names: Iterable[str]
    ) -> dict[str, pl.DataFrame]:
        """Return what the decisions of a partition stand on."""
        assert part.among is not None
        among, scan = part.among[CUSTOMER_ID].implode(), part.folder.scan

        def mine(table: pl.LazyFrame) -> pl.DataFrame:
            if CUSTOMER_ID in table.collect_schema().names():
                table = table.filter(pl.col(CUSTOMER_ID).is_in(among))
            return table.collect()

        def scored(name: str) -> pl.LazyFrame:
            # scored this night: what the part left, else the rows of its customers of the whole
            own = self.partitions.name(number, SCORES, name)
            return scan(own) if part.folder.has(own) else scan(f"{SCORES}/{name}")

        scores = {name: mine(scored(name)) for name in Scores.__annotations__}
        kept = {name: _ANSWERED if name == "responses" else name for name in names}
        read = {name: mine(scan(f"{self._read}/{table}")) for name, table in kept.items()}
        return {**part.inputs, **scores, **read}


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
    needs = needs.select(AVERAGED_OF_NEEDS)
    tables = {**_light_scores(folder), "needs": needs.collect(), STATE: state}
    return mode_averages(DecisionInputs(tables))


def _light_scores(folder: RunFolder) -> dict[str, pl.DataFrame]:
    """Return what of the scores of everybody is read beside the parts."""
    return {
        name: folder.scan(f"{SCORES}/{name}").select(columns).collect()
        for name, columns in _READ.items()
    }
