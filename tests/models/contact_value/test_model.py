"""The contract of the contact-value model, and what its needs promise."""

from datetime import datetime

import numpy as np
import polars as pl
from tests.models.contact_value.planted import planted_rows
from tests.models.contact_value.shop import views

from nba.models.base import ModelInputs
from nba.models.contact_value.model import ContactValueMode
from nba.models.contact_value.rows import TABLE
from nba.models.contract import ModelContract
from nba.models.mode.scores import MODES
from nba.models.needs.base import NEED_SCORE_SCHEMA

AS_OF = datetime(2026, 3, 1)


class TestContactValueContract(ModelContract):
    model_class = ContactValueMode
    as_of = AS_OF

    def training(self) -> ModelInputs:
        return ModelInputs({**views(), TABLE: planted_rows(1_500, scale=0.2, seed=2)})

    def inputs(self) -> ModelInputs:
        return views()


class TestNeedsContract(TestContactValueContract):
    def score(self, model: ContactValueMode, inputs: ModelInputs) -> pl.DataFrame:  # type: ignore[override]
        return model.score_needs(inputs, as_of=AS_OF)


def needs() -> pl.DataFrame:
    model = ContactValueMode().fit(views(), as_of=AS_OF, seed=1)
    return model.score_needs(views(), as_of=AS_OF)


def test_needs_have_every_column_and_what_can_be_brought() -> None:
    found = needs()
    assert found.schema == NEED_SCORE_SCHEMA
    goods = found.filter(pl.col("product_ids").list.len() > 0)
    brought = set(goods["product_ids"].explode())
    assert not brought & {"p03", "p04"}  # retired, sold out
    assert found["need_id"].is_null().sum() == 0
    assert found.select("customer_id", "need_id").is_duplicated().sum() == 0
    assert set(found.filter(pl.col("customer_id") == "z-new")["need"]) == {
        "content",
        "event",
        "gift",
    }


def test_what_is_due_is_brought_with_the_product_bought_last() -> None:
    due = needs().filter((pl.col("need") == "due") & pl.col("is_known"))
    able = set(views()["product"].filter(~pl.col("is_retired") & (pl.col("on_hand") > 0))[
        "product_id"
    ])  # fmt: skip
    bought = views()["customer_product"].filter(pl.col("product_id").is_in(sorted(able)))
    last = bought.sort("customer_id", "category", "days_since_purchase").unique(
        ["customer_id", "category"], keep="first", maintain_order=True
    )
    joined = due.join(last, on=["customer_id", "category"], suffix="_last")
    first = joined.with_columns(first=pl.col("product_ids").list.first())
    same = first.filter(pl.col("days_since") == pl.col("days_since_purchase"))
    assert same.height > 10
    ties = bought.select("customer_id", "category", "days_since_purchase").is_duplicated().any()
    assert ties or (same["first"] == same["product_id"]).all()


def test_without_contacts_the_fitting_mode_is_worth_most_and_the_model_says_so() -> None:
    model = ContactValueMode().fit(views(), as_of=AS_OF, seed=1)
    assert model.report == {"learned": False, "reason": "0 contacts"}
    found = model.score_needs(views(), as_of=AS_OF)
    due = found.filter(pl.col("need") == "due")
    best = {"short": MODES[0], "group": MODES[1], "premium": MODES[2]}
    for kind, mode in best.items():
        rows = due.filter(pl.col("category_kind") == kind)
        wide = rows.select(f"uplift_amount_{one}" for one in MODES).to_numpy()
        assert rows.height > 5
        assert MODES[int(np.bincount(wide.argmax(axis=1), minlength=3).argmax())] == mode


def test_draws_differ_between_customers_of_a_clerk_and_stay_for_a_week() -> None:
    model = ContactValueMode().fit(views(), as_of=AS_OF, seed=1)
    column = f"uplift_drawn_{MODES[0]}"

    def ratio(day: int) -> pl.Series:
        table = model.score_needs(views(), as_of=datetime(2026, 3, day))
        rows = table.filter(pl.col("need") == "content")
        return rows[column] / rows[f"uplift_amount_{MODES[0]}"]

    assert ratio(2).n_unique() > 50
    assert np.allclose(ratio(2), ratio(3))
    assert not np.allclose(ratio(2), ratio(12))


def fitted(scale: float) -> ContactValueMode:
    rows = planted_rows(20_000, scale=scale, seed=5)
    return ContactValueMode().fit(ModelInputs({**views(), TABLE: rows}), as_of=AS_OF, seed=1)


def test_where_contacts_add_nothing_nothing_is_listed_and_it_says_so() -> None:
    for scale in (0.0, -0.1):
        model = fitted(scale)
        drawn = model.score_needs(views(), as_of=AS_OF).select(
            pl.col(f"uplift_drawn_{mode}") for mode in MODES
        )
        assert (drawn.to_numpy() <= 0).mean() > 0.9
        assert model.finding() in {"contacts add nothing so far", "contacts do harm"}


def test_where_contacts_work_no_doubt_is_left() -> None:
    model = fitted(0.2)
    assert model.doubt == 0.0
    assert model.finding() == ""


def test_clerks_own_contacts_alone_do_not_end_contacts() -> None:
    rows = planted_rows(20_000, scale=0.0, seed=5, drawn=False)
    model = ContactValueMode().fit(ModelInputs({**views(), TABLE: rows}), as_of=AS_OF, seed=1)
    assert model.p_nothing == model.config.nothing
    assert model.doubt == 0.0
