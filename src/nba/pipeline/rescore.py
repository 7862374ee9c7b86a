"""Decide again for one customer or one clerk's book, from what the night laid ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import polars as pl

from nba.decisions.next_actions import OpenBook, next_actions, why_not
from nba.decisions.parts import arm_of
from nba.decisions.rules import DecisionRules
from nba.models.affinity.offers import offers
from nba.models.base import Model, ModelInputs
from nba.pipeline.arms import models_of_arm, own_models
from nba.pipeline.context import RunContext
from nba.pipeline.inputs import STATE
from nba.pipeline.kept import kept_inputs, kept_plan, kept_rules
from nba.pipeline.partitions import shop_averages
from nba.pipeline.plan import INPUTS
from nba.pipeline.score import model_inputs, score_all

_CUSTOMER = "customer_id"
#: Views and purchases of a customer now, by table.
Fresh = Mapping[str, pl.DataFrame]
#: As the night left everything.
NIGHT: Final[Fresh] = {}
#: Columns that change by night alone.
_STAYS: Final = ("clerk_id", "store_id")


@dataclass(frozen=True)
class Rescorer:
    """What a night laid ready for rescoring: made once per plan, then asked many times.

    Parameters
    ----------
    as_of : datetime
        Of the plan.
    models : mapping of str to Model
        The very versions that scored the night.
    inputs : mapping of str to ModelInputs
        What each model read, of all customers.
    kept : mapping of str to DataFrame
        What the plan stood on.
    book : OpenBook
    rules : DecisionRules
        Under which the plan was made.
    arm_models : mapping of str to mapping
        The models of the arms that have their own, by arm.
    """

    as_of: datetime
    models: Mapping[str, Model]
    inputs: Mapping[str, ModelInputs]
    kept: Mapping[str, pl.DataFrame]
    book: OpenBook
    rules: DecisionRules
    arm_models: Mapping[str, Mapping[str, Model]]

    @classmethod
    def of(cls, context: RunContext, among: pl.DataFrame | None = None) -> Rescorer:
        """Return the rescorer of a kept plan; `NotFoundError` where there is none.

        Parameters
        ----------
        context : RunContext
        among : DataFrame, optional
            customer_id: those whom it is asked about; it reads and holds their tables alone. Where
            an arm has models of its own all are read: what stands for the unknown is its own.
        """
        rules, averages = kept_rules(context), None
        if among is not None and not any(own_models(rules, arm) for arm in rules.variants):
            everybody = context.folder.read(f"{INPUTS}/{STATE}")
            averages = shop_averages(context.folder, everybody)
            context = replace(context, among=among)
        tables = kept_inputs(context)
        own = {arm: models_of_arm(context, rules, arm) for arm in rules.variants}
        return cls(
            as_of=context.as_of,
            models=context.models,
            inputs=model_inputs(context),
            kept=tables,
            book=OpenBook.of(tables, kept_plan(context).clerks, averages),
            rules=rules,
            arm_models={arm: models for arm, models in own.items() if models},
        )

    def customer(self, customer_id: str, fresh: Fresh = NIGHT) -> pl.DataFrame:
        """Return the next best actions of one customer, best first; none for an unknown id.

        Parameters
        ----------
        customer_id : str
        fresh : mapping of str to DataFrame
            Views of this customer, and `purchases`, as they stand now in place of the night's:
            see `nba.pipeline.fresh.fresh_tables`.
        """
        return self._rescored([customer_id], fresh)

    def as_the_night(self, customer_ids: Sequence[str]) -> dict[str, pl.DataFrame]:
        """Return the next best actions of some customers by last night's features, by customer.

        Many cost little more than one: what is worked out for fifty takes half as long again.
        """
        found = self._rescored(list(customer_ids), NIGHT)
        parts = found.partition_by(_CUSTOMER, as_dict=True)
        return {one: parts.get((one,), found.clear()) for one in customer_ids}

    def beside(self, customer_id: str, most: int) -> list[str]:
        """Return a customer and who follows them in the book of the same clerk, by id."""
        state = self.book.tables[STATE]
        clerk = state.filter(pl.col(_CUSTOMER) == customer_id)["clerk_id"]
        if clerk.is_empty() or clerk[0] is None:
            return [customer_id]
        book = self.book.customers_of(clerk[0])
        place = book.index(customer_id)
        return [*book[place:], *book[:place]][:most]

    def why(self, customer_id: str, fresh: Fresh = NIGHT) -> pl.DataFrame:
        """Return every action type for one customer, with why it is closed; see `why_not`."""
        return why_not(
            self.book,
            customer_id,
            self.rules,
            as_of=self.as_of,
            scores=self._tables([customer_id], fresh),
            heard_until=_heard_until(fresh),
        )

    def clerk(self, clerk_id: str) -> pl.DataFrame:
        """Return the next best actions of each customer whom a clerk serves today."""
        return self._rescored(self.book.customers_of(clerk_id), NIGHT)

    def scores(self, customer_ids: Sequence[str], fresh: Fresh = NIGHT) -> dict[str, pl.DataFrame]:
        """Return the score tables of customers whom the same models score, and their offers."""
        [arm] = self._by_models(customer_ids)
        ids = pl.Series(_CUSTOMER, list(customer_ids), dtype=pl.String)
        mine = {name: _of_customers(tables, ids, fresh) for name, tables in self.inputs.items()}
        scores = score_all(self.arm_models.get(arm, self.models), mine, as_of=self.as_of)
        given = _of_customers(ModelInputs(self.kept), ids, fresh)
        offered = offers(given, scores.affinity, as_of=self.as_of)
        return {**scores.items(), "offers": offered}

    def _by_models(self, customer_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the customers by the arm whose models score them; empty: the day's own."""
        if not self.arm_models:
            return {"": list(customer_ids)}
        found: dict[str, list[str]] = {}
        for one in customer_ids:
            arm = arm_of(self.book.tables, self.rules, one, as_of=self.as_of)
            found.setdefault(arm if arm in self.arm_models else "", []).append(one)
        return found or {"": []}

    def _tables(self, customer_ids: list[str], fresh: Fresh) -> dict[str, pl.DataFrame]:
        """Return what of these customers stands in place of the book's tables."""
        tables = self.scores(customer_ids, fresh)
        if not fresh:
            return tables
        ids = pl.Series(_CUSTOMER, customer_ids, dtype=pl.String)
        standing = self.book.tables.tables
        book = ModelInputs({name: standing[name] for name in fresh if name in standing})
        return {**_of_customers(book, ids, fresh), **tables}

    def _rescored(self, customer_ids: list[str], fresh: Fresh) -> pl.DataFrame:
        """Return the next actions, worked out together for those whom the same models score."""
        return pl.concat(
            [
                next_actions(
                    self.book,
                    ids,
                    self.rules,
                    as_of=self.as_of,
                    scores=self._tables(ids, fresh),
                    heard_until=_heard_until(fresh),
                )
                for ids in self._by_models(customer_ids).values()
            ]
        )


def _heard_until(fresh: Fresh) -> datetime | None:
    """Return up to when contacts and responses count: fresh rows reach to their own moment."""
    return datetime.max if fresh else None


def _of_customers(inputs: ModelInputs, ids: pl.Series, fresh: Fresh = NIGHT) -> ModelInputs:
    """Return the inputs confined to some customers; tables of other things stay whole."""
    wanted = ids.to_frame()
    found = {
        name: table.join(wanted, on=_CUSTOMER, how="semi", maintain_order="left")
        if _CUSTOMER in table.columns
        else table
        for name, table in inputs.items()
    }
    return ModelInputs(
        {
            name: _as_now(name, table, fresh[name]) if name in fresh else table
            for name, table in found.items()
        }
    )


def _as_now(name: str, night: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Return a customer's rows of a table as they are now, in the columns that the night had.

    Who serves a customer stays as the night left it, and so does what no view says.
    """
    stays = {one for one in night.columns if one not in now.columns}
    if name == STATE:
        stays |= set(_STAYS) & set(night.columns)
    told = now.select(one for one in night.columns if one not in stays)
    if stays:
        kept = night.select(_CUSTOMER, *sorted(stays)).unique(_CUSTOMER)
        told = told.join(kept, on=_CUSTOMER, how="inner", maintain_order="left")
    return told.select(pl.col(one).cast(dtype) for one, dtype in night.schema.items())
