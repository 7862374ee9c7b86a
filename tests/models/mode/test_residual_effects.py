"""The learned mode model keeps the contract, starts at the prior and unlearns what is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from nba.models.base import Model, ModelInputs
from nba.models.contract import ModelContract
from nba.models.mode.assignments.features import assignment_features
from nba.models.mode.effects.contacts import ARMS
from nba.models.mode.prior import PriorMode
from nba.models.mode.residual_effects import ResidualEffectsConfig, ResidualEffectsMode

AS_OF = datetime(2026, 3, 1)
KINDS = np.array(["short", "group", "premium"])


def customers(count: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    ids = [f"c{i:05d}" for i in range(count)]
    margin = rng.lognormal(5, 0.6, count)
    behaviour = pl.DataFrame(
        {
            "customer_id": ids,
            "days_since_purchase": rng.exponential(40, count),
            "days_since_first_purchase": np.full(count, 500.0),
            "purchase_days_30d": rng.poisson(0.5, count),
            "purchase_days_90d": rng.poisson(1.5, count),
            "purchase_days_365d": rng.poisson(6, count),
            "spend_amount": margin * 4,
            "spend_365d_amount": margin * 3,
            "margin_90d_amount": margin / 4,
            "margin_365d_amount": margin,
            "average_order_amount": margin / 2,
            "overdue_ratio": rng.exponential(1, count),
            "gap_days_median": np.where(rng.uniform(size=count) < 0.2, np.nan, 30.0),
            "price_tier": rng.integers(1, 6, count),
            "discount_share": rng.uniform(0, 1, count),
            "category_count": rng.integers(1, 6, count),
            "trend_ratio": rng.exponential(1, count),
            "main_category_kind": KINDS[rng.integers(0, 3, count)],
        }
    )
    contact = pl.DataFrame(
        {
            "customer_id": ids,
            "contacts_30d": rng.poisson(2, count),
            "contacts_90d": rng.poisson(6, count),
            "reads_90d": rng.poisson(3, count),
            "days_since_contact": rng.exponential(20, count),
            "response_rate": rng.uniform(0, 1, count),
            "unanswered_streak": rng.poisson(1, count),
            "fatigue": rng.exponential(1, count),
        }
    )
    return behaviour, contact


def training(
    count: int, seed: int, *, effect: float = 1.0, per_customer: int = 1, noise: float = 2.0
) -> ModelInputs:
    """Assignments whose true effect is `effect` times the prior's, plus a planted difference."""
    behaviour, contact = customers(count, seed)
    rng = np.random.default_rng(seed + 1)
    prior = PriorMode().fit(ModelInputs({"customer_behaviour": behaviour}), as_of=AS_OF, seed=1)
    uplift = np.c_[np.zeros(count), effect * prior.uplift(behaviour)]
    rows = np.repeat(np.arange(count), per_customer)
    arm = rng.choice(4, len(rows), p=[0.4, 0.2, 0.2, 0.2])
    base = 0.02 * behaviour["margin_365d_amount"].to_numpy()[rows]
    margin = base + uplift[rows, arm] + rng.normal(0, noise, len(rows))
    ids = [f"a{i:06d}" for i in range(len(rows))]
    assignments = pl.DataFrame(
        {
            "assignment_id": ids,
            "customer_id": behaviour["customer_id"].gather(rows),
            "ts": [AS_OF - timedelta(days=60)] * len(rows),
            "mode": np.array(ARMS)[arm],
            "propensity": np.where(arm == 0, 0.4, 0.2),
            "margin_amount": margin,
            "margin_check_amount": margin,
            "is_lost": rng.uniform(size=len(rows)) < np.where(arm == 0, 0.0, 0.01),
        }
    )
    features = behaviour.join(contact, on="customer_id")[rows].with_columns(
        pl.Series("assignment_id", ids)
    )
    return ModelInputs(
        {
            "customer_behaviour": behaviour,
            "customer_contact": contact,
            "assignments": assignments,
            "assignment_features": features,
        }
    )


class TestResidualEffectsContract(ModelContract):
    model_class = ResidualEffectsMode
    as_of = AS_OF

    def training(self) -> ModelInputs:
        return training(1500, 3)

    def inputs(self) -> ModelInputs:
        behaviour, contact = customers(60, 4)
        return ModelInputs({"customer_behaviour": behaviour, "customer_contact": contact})


class TestPriorContract(ModelContract):
    model_class = PriorMode
    as_of = AS_OF

    def training(self) -> ModelInputs:
        return ModelInputs({"customer_behaviour": customers(300, 3)[0]})

    def inputs(self) -> ModelInputs:
        behaviour, contact = customers(60, 4)
        return ModelInputs({"customer_behaviour": behaviour, "customer_contact": contact})


def level(table: ModelInputs) -> float:
    """The mean learned effect, relative to the prior's."""
    model = ResidualEffectsMode().fit(table, as_of=AS_OF, seed=1)
    scores = model.score(table, as_of=AS_OF)["uplift_amount"]
    prior = model.prior.score(table, as_of=AS_OF)["uplift_amount"]
    return float(scores.sum() / prior.sum())


def test_without_assignments_it_is_the_prior() -> None:
    behaviour, contact = customers(200, 2)
    inputs = ModelInputs({"customer_behaviour": behaviour, "customer_contact": contact})
    model = ResidualEffectsMode().fit(inputs, as_of=AS_OF, seed=1)
    prior = PriorMode().fit(inputs, as_of=AS_OF, seed=1)
    assert not model.report["learned"]
    assert model.score(inputs, as_of=AS_OF).equals(prior.score(inputs, as_of=AS_OF))


def test_a_true_prior_is_kept_and_a_wrong_one_unlearned() -> None:
    assert level(training(4000, 11, effect=1.0)) == pytest.approx(1.0, abs=0.35)
    few, many = (level(training(n, 11, effect=0.0, noise=10.0)) for n in (500, 12_000))
    assert many < 0.7
    assert many < few
    assert 0.0 <= level(training(12_000, 11, effect=0.0)) < 0.2


@pytest.mark.parametrize("model", [PriorMode, ResidualEffectsMode])
def test_a_draw_is_the_clerks_own_and_right_on_average(model: type[Model]) -> None:
    """What is drawn depends on clerk and period alone, and its mean over clerks is the uplift."""
    table = training(3000, 31)
    ids = table["customer_behaviour"]["customer_id"]
    clerks = pl.Series([f"clerk{i % 400}" for i in range(len(ids))])
    state = pl.DataFrame({"customer_id": ids, "clerk_id": clerks})
    inputs = ModelInputs({**table, "customer_state": state})
    fitted = model().fit(inputs, as_of=AS_OF, seed=1)
    scores = fitted.score(inputs, as_of=AS_OF)
    assert scores["uplift_drawn"].mean() == pytest.approx(scores["uplift_amount"].mean(), rel=0.2)
    wide = scores.join(state, on="customer_id").join(
        table["customer_behaviour"].select("customer_id", "main_category_kind"), on="customer_id"
    )
    above = pl.col("uplift_drawn") > pl.col("uplift_amount")
    sides = wide.group_by("clerk_id", "main_category_kind", "mode").agg(above.mean().alias("share"))
    assert sides["share"].is_in([0.0, 1.0]).all()
    few = state.filter(pl.col("clerk_id") == "clerk7")
    own = table["customer_behaviour"].join(few, on="customer_id", how="semi")
    alone = ModelInputs({**table, "customer_behaviour": own, "customer_state": few})
    again = fitted.score(alone, as_of=AS_OF)
    same = scores.join(few, on="customer_id", how="semi")
    assert np.allclose(again["uplift_drawn"], same["uplift_drawn"])
    later = fitted.score(alone, as_of=AS_OF + timedelta(days=28))
    assert not np.allclose(again["uplift_drawn"], later["uplift_drawn"])
    assert again["uplift_amount"].equals(later["uplift_amount"])


def test_netting_reads_closed_check_windows_alone() -> None:
    """A contact that only pulls forward: what is gained in the window is lost after it."""
    table = training(4000, 41, effect=4.0)
    rows = table["assignments"]
    gone = pl.when(pl.col("mode") == "none").then(0.0).otherwise(4.0)
    pulled = rows.with_columns(margin_check_amount=pl.col("margin_amount") - gone)
    half = pl.int_range(pl.len()) % 2 == 0

    def netting(assignments: pl.DataFrame) -> float:
        model = ResidualEffectsMode()
        return model.fit(
            ModelInputs({**table, "assignments": assignments}), as_of=AS_OF, seed=1
        ).netting

    open_ = pl.when(half).then(pl.col("margin_check_amount"))
    whole, part = netting(pulled), netting(pulled.with_columns(margin_check_amount=open_))
    assert whole < 0.7
    assert part == pytest.approx(whole, abs=0.15)
    nothing = pulled.with_columns(margin_check_amount=pl.lit(None, pl.Float64))
    assert netting(nothing) == 1.0


def history(count: int, seed: int, *, bias: float) -> ModelInputs:
    """Contacts by habit whose choice alone raises margins by `bias`, and that change nothing."""
    table = training(count, seed, effect=0.0)
    rng = np.random.default_rng(seed + 2)
    rows = table["assignments"]
    listed = (rows["mode"] != "none").to_numpy()
    read = rng.uniform(size=rows.height) < 0.5
    margin = rows["margin_amount"].to_numpy() + bias * listed
    changed = rows.with_columns(
        pl.lit(None, pl.Float64).alias("propensity"),
        pl.Series("margin_amount", margin),
        pl.Series("margin_check_amount", margin),
        pl.Series("is_read", read & listed),
        source=pl.lit("history"),
    )
    return ModelInputs({**table, "assignments": changed})


def test_what_unread_contacts_show_is_not_taken_for_an_effect() -> None:
    table = history(12_000, 61, bias=1.5)
    unread = table["assignments"].drop("is_read")
    assert level(table) < 0.5 * level(ModelInputs({**table, "assignments": unread}))


def test_estimates_are_in_money_and_bounds_lie_below() -> None:
    table = training(12_000, 21, effect=2.0)
    model = ResidualEffectsMode().fit(table, as_of=AS_OF, seed=1)
    scores = model.score(table, as_of=AS_OF)
    truth = 2.0 * model.prior.uplift(table["customer_behaviour"])
    guess = scores["uplift_amount"].to_numpy().reshape(-1, 3)
    assert guess.mean(axis=0) == pytest.approx(truth.mean(axis=0), rel=0.35)
    lower = scores["uplift_lower"].to_numpy().reshape(-1, 3)
    assert (lower <= guess).all()
    assert (lower <= truth).mean() > 0.8


def test_the_risk_of_a_contact_is_learned() -> None:
    table = training(12_000, 31)
    config = ResidualEffectsConfig(risk_prior_contacts=100)
    model = ResidualEffectsMode(config).fit(table, as_of=AS_OF, seed=1)
    assert model.risk is not None
    assert model.risk.rate == pytest.approx(0.01, abs=0.004)


def test_what_moves_the_effect_most_is_named_per_customer() -> None:
    table = training(6000, 71, effect=2.0)
    model = ResidualEffectsMode().fit(table, as_of=AS_OF, seed=1)
    found = model.contributions(table, as_of=AS_OF)
    assert set(found["customer_id"]) == set(table["customer_behaviour"]["customer_id"])
    assert set(found["feature"]) <= {*model.config.behaviour, *model.config.contact}
    assert found.group_by("customer_id").len()["len"].max() <= 6
    assert not found.select("customer_id", "feature").is_duplicated().any()
    score = (
        model.score(table, as_of=AS_OF).group_by("customer_id").agg(pl.col("uplift_lower").sum())
    )
    assert score.height == table["customer_behaviour"].height
    # with what customers buy anyway planted in one column, that column leads
    lead = found.group_by("feature").agg(pl.col("contribution").abs().sum()).sort("contribution")
    assert lead["feature"][-1] in {"response_rate", "purchase_days_365d", "margin_365d_amount"}


def test_the_prior_names_nothing() -> None:
    table = training(50, 3)
    prior = ResidualEffectsMode().fit(table, as_of=AS_OF, seed=1)
    assert prior.contributions(table, as_of=AS_OF).is_empty()


def test_a_mode_that_was_never_used_keeps_the_prior() -> None:
    table = training(3000, 41)
    known = table["assignments"].filter(pl.col("mode") != "private_partner")
    frames = ModelInputs({**table, "assignments": known})
    model = ResidualEffectsMode().fit(frames, as_of=AS_OF, seed=1)
    scores = model.score(frames, as_of=AS_OF)
    prior = model.prior.score(frames, as_of=AS_OF)
    mine = pl.col("mode") == "private_partner"
    assert scores.filter(mine)["uplift_amount"].to_numpy() == pytest.approx(
        prior.filter(mine)["uplift_amount"].to_numpy()
    )


def test_a_control_without_rows_teaches_nothing() -> None:
    table = training(3000, 51)
    known = table["assignments"].filter(pl.col("mode") != "none")
    model = ResidualEffectsMode().fit(
        ModelInputs({**table, "assignments": known}), as_of=AS_OF, seed=1
    )
    assert not model.report["learned"]
    assert "control" in model.report["reason"]


def test_assignments_from_before_the_first_record_teach_nothing() -> None:
    """Their features were built where nothing was known yet: the prior stands, no crash."""
    table = training(900, 52)
    features = table["assignment_features"]
    unknown = features.with_columns(
        [pl.lit(None, features[name].dtype).alias(name) for name in features.columns[:-1]]
    )
    model = ResidualEffectsMode().fit(
        ModelInputs({**table, "assignment_features": unknown.drop("customer_id")}),
        as_of=AS_OF,
        seed=1,
    )
    assert not model.report["learned"]
    assert "no feature" in model.report["reason"]
    nothing = {
        "assignments": table["assignments"].clear(),
        "assignment_features": pl.DataFrame(schema={"assignment_id": pl.String}),
    }
    shop = ResidualEffectsMode().fit(ModelInputs({**table, **nothing}), as_of=AS_OF, seed=1)
    assert not shop.report["learned"]


def test_features_come_from_before_the_assignment() -> None:
    assignments = pl.DataFrame(
        {
            "assignment_id": ["x", "y"],
            "customer_id": ["a", "b"],
            "ts": [AS_OF, AS_OF - timedelta(days=30)],
        }
    )
    asked = []

    def snapshot(view: str, as_of: datetime) -> pl.DataFrame:
        asked.append(as_of)
        return pl.DataFrame({"customer_id": ["a", "b"], view: [as_of, as_of]})

    found = assignment_features(assignments, snapshot, every_days=7)
    for name, moment in (("x", AS_OF), ("y", AS_OF - timedelta(days=30))):
        row = found.filter(pl.col("assignment_id") == name)
        assert moment - timedelta(days=7) < row["customer_behaviour"].item() <= moment
    assert all(AS_OF - timedelta(days=37) < moment <= AS_OF for moment in asked)
