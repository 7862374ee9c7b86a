"""Why a customer got what they got: every candidate action, and where each one fell out."""

from __future__ import annotations

from nba.decisions.explain import Explanation, explain
from nba.pipeline.context import RunContext
from nba.pipeline.kept import kept_inputs, kept_plan, kept_rules


def explain_customer(context: RunContext, customer_id: str) -> Explanation:
    """Explain one customer of the kept plan.

    Raises
    ------
    NotFoundError
        When no plan is kept, or it does not know the customer.
    """
    return explain(
        kept_inputs(context),
        kept_rules(context),
        customer_id=customer_id,
        as_of=context.as_of,
        plan=kept_plan(context),
    )
