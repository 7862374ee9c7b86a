"""Decide again for one customer or one clerk's book, from what the night laid ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from nba.decisions.next_actions import OpenBook, next_actions, why_not
from nba.decisions.rules import DecisionRules
from nba.models.affinity.offers import offers
from nba.models.base import Model, ModelInputs
from nba.pipeline.context import RunContext
from nba.pipeline.kept import kept_inputs, kept_plan, kept_rules
from nba.pipeline.score import model_inputs, noted_models, score_all

_CUSTOMER = "customer_id"


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
    """

    as_of: datetime
    models: Mapping[str, Model]
    inputs: Mapping[str, ModelInputs]
    kept: Mapping[str, pl.DataFrame]
    book: OpenBook
    rules: DecisionRules

    @classmethod
    def of(cls, context: RunContext) -> Rescorer:
        """Return the rescorer of a kept plan; `NotFoundError` where there is none."""
        tables = kept_inputs(context)
        return cls(
            as_of=context.as_of,
            models=noted_models(context),
            inputs=model_inputs(context),
            kept=tables,
            book=OpenBook.of(tables, kept_plan(context).clerks),
            rules=kept_rules(context),
        )

    def customer(self, customer_id: str) -> pl.DataFrame:
        """Return the next best actions of one customer, best first; none for an unknown id."""
        return self._rescored([customer_id])

    def why(self, customer_id: str) -> pl.DataFrame:
        """Return every action type for one customer, with why it is closed; see `why_not`."""
        return why_not(
            self.book,
            customer_id,
            self.rules,
            as_of=self.as_of,
            scores=self.scores([customer_id]),
        )

    def clerk(self, clerk_id: str) -> pl.DataFrame:
        """Return the next best actions of each customer whom a clerk serves today."""
        return self._rescored(self.book.customers_of(clerk_id))

    def scores(self, customer_ids: Sequence[str]) -> dict[str, pl.DataFrame]:
        """Return the score tables of some customers, and what is worth offering them."""
        ids = pl.Series(_CUSTOMER, list(customer_ids), dtype=pl.String)
        mine = {name: _of_customers(tables, ids) for name, tables in self.inputs.items()}
        scores = score_all(self.models, mine, as_of=self.as_of)
        given = _of_customers(ModelInputs(self.kept), ids)
        offered = offers(given, scores.affinity, as_of=self.as_of)
        return {**scores.items(), "offers": offered}

    def _rescored(self, customer_ids: list[str]) -> pl.DataFrame:
        return next_actions(
            self.book,
            customer_ids,
            self.rules,
            as_of=self.as_of,
            scores=self.scores(customer_ids),
        )


def _of_customers(inputs: ModelInputs, ids: pl.Series) -> ModelInputs:
    """Return the inputs confined to some customers; tables of other things stay whole."""
    wanted = ids.to_frame()
    return ModelInputs(
        {
            name: table.join(wanted, on=_CUSTOMER, how="semi", maintain_order="left")
            if _CUSTOMER in table.columns
            else table
            for name, table in inputs.items()
        }
    )
