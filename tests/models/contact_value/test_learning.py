"""Planted factors are found again; where contacts change nothing, the scale says so."""

import numpy as np
import pytest
from tests.models.contact_value.planted import RHYTHM, planted_rows

from nba.models.contact_value.config import ContactValueConfig
from nba.models.contact_value.design import GROUPS, NAMES, Situation
from nba.models.contact_value.learning import Learned, learn
from nba.models.contact_value.responsiveness import Responsiveness
from nba.models.needs.rhythm import chance_without


def learned(rows: int, **planted: object) -> Learned:
    table = planted_rows(rows, **planted)  # type: ignore[arg-type]
    return learn(table, RHYTHM, Responsiveness.of(table), ContactValueConfig(), seed=1)


def log_effect(found: Learned, kind: str, mode: str) -> float:
    theta = found.posterior.mean[1:]
    return float(theta[NAMES.index(f"mode:{mode}")] + theta[NAMES.index(f"fit:{kind}:{mode}")])


def curve(found: Learned, due: float) -> float:
    """Return the factor of how due a category is, what is bought anyway included."""
    share = np.array([due])
    plain = Situation.plain(share, chance_without(share, np.array([30.0]), 14.0))
    columns = list(GROUPS["due"])
    design = plain.design(plain.need)[:, columns]
    return float(np.exp(design @ found.posterior.mean[1:][columns])[0])


@pytest.fixture(scope="module")
def found() -> Learned:
    return learned(20_000, scale=0.2, seed=3)


def test_the_best_mode_of_each_kind_is_found_against_the_prior(found: Learned) -> None:
    for kind, best in (
        ("short", "shopping_assistant"),
        ("group", "topic_expert"),
        ("premium", "shopping_assistant"),
    ):
        effects = {mode: log_effect(found, kind, mode) for mode in
                   ("shopping_assistant", "topic_expert", "private_partner")}  # fmt: skip
        assert max(effects, key=lambda mode: effects[mode]) == best, (kind, effects)


def test_contacts_about_some_goods_tell_how_far_reports_hold_for_others() -> None:
    rows = planted_rows(20_000, scale=0.2, seed=4, fit=np.zeros((3, 3)))
    some = rows.filter(rows["category"] != "bags")
    config = ContactValueConfig()
    found = learn(some, RHYTHM, Responsiveness.of(some), config, seed=1)
    column = NAMES.index("fit:premium:shopping_assistant")
    assert found.posterior.mean[1 + column] > 0.5 * config.beliefs.fit[2][0]
    alone = config.model_copy(
        update={"beliefs": config.beliefs.model_copy(update={"strength_error": 0.0})}
    )
    apart = learn(some, RHYTHM, Responsiveness.of(some), alone, seed=1)
    assert apart.posterior.mean[1 + column] < 0.9 * config.beliefs.fit[2][0]


def test_reports_may_hold_nowhere_but_are_not_turned_round() -> None:
    believed = np.array(ContactValueConfig().beliefs.fit)
    found = learned(20_000, scale=0.2, seed=6, fit=-2.0 * believed)
    assert found.report["strength_of_fit"] == pytest.approx(0.0, abs=1e-9)
    assert np.linalg.eigvalsh(found.posterior.covariance).min() > -1e-9


def test_the_curve_of_how_due_it_is_peaks_at_one_gap(found: Learned) -> None:
    theta = found.posterior.mean[1:]
    assert theta[NAMES.index("soon")] < -0.4
    assert theta[NAMES.index("late")] < -0.4
    at_half, at_gap, at_double = (curve(found, due) for due in (0.5, 1.0, 2.0))
    assert at_half < at_gap > at_double


def test_who_answers_reacts_more(found: Learned) -> None:
    assert found.posterior.mean[1 + NAMES.index("answers")] > 0.4


def test_the_size_of_the_effect_is_right(found: Learned) -> None:
    scale, theta = found.posterior.mean[0], found.posterior.mean[1:]
    best = scale * np.exp(log_effect(found, "group", "topic_expert"))
    without = theta[NAMES.index("without")] * np.log(0.2 / 0.3)
    assert best * np.exp(without) == pytest.approx(0.2, rel=0.35)


@pytest.mark.parametrize("scale", [0.0, -0.1])
def test_where_contacts_add_nothing_or_harm_the_scale_falls(scale: float) -> None:
    found = learned(20_000, scale=scale, seed=5)
    error = np.sqrt(found.posterior.covariance[0, 0])
    assert found.posterior.mean[0] < 0.012
    assert error < 0.02


def test_without_a_draw_the_unread_show_who_is_chosen() -> None:
    found = learned(20_000, scale=0.2, seed=7, drawn=False)
    assert log_effect(found, "group", "topic_expert") > log_effect(
        found, "group", "private_partner"
    )
    assert found.posterior.mean[0] > 0.05


@pytest.mark.parametrize("chosen", [0.5, 1.0])
def test_whom_clerks_choose_is_no_effect(chosen: float) -> None:
    found = learned(20_000, scale=0.0, seed=8, drawn=False, chosen=chosen)
    scale, error = found.posterior.mean[0], np.sqrt(found.posterior.covariance[0, 0])
    assert scale < 2.0 * error
    assert scale < 0.03


@pytest.mark.parametrize("scale", [0.0, 0.1])
def test_drawn_contacts_alone_show_the_scale(scale: float) -> None:
    report = learned(20_000, scale=scale, seed=5).report
    seen, error = report["drawn_scale"]
    assert report["drawn_contacts"] > 10_000
    assert error < 0.01
    assert abs(seen - scale) < max(3.0 * error, 0.4 * scale)
    assert learned(5_000, scale=scale, seed=5, drawn=False).report["drawn_scale"][1] == np.inf


def test_row_order_does_not_matter() -> None:
    table = planted_rows(3_000, scale=0.2, seed=9)
    answers = Responsiveness.of(table)
    one = learn(table, RHYTHM, answers, ContactValueConfig(), seed=1)
    other = learn(table.sample(fraction=1.0, shuffle=True, seed=2), RHYTHM, answers,
                  ContactValueConfig(), seed=1)  # fmt: skip
    np.testing.assert_allclose(one.posterior.mean, other.posterior.mean, rtol=1e-9, atol=1e-12)
