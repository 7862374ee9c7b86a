"""The page of factors: every parameter of an effect belongs to one factor; shares add up."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest

from experiments.factors.nights import EFFECT_FACTORS, WHOLE
from experiments.factors.report import earned
from nba.models.contact_value.design import NAMES


def test_each_parameter_of_the_effect_is_in_one_factor():
    counts = Counter(name for names in EFFECT_FACTORS.values() for name in names)
    assert counts == Counter(NAMES)


def test_a_factor_earns_what_the_list_loses_without_it():
    world = {"preset": "published", "family": "capture", "seed": 1}
    rows = [
        world | {"night": night, "off": off, "amount": amount}
        for off, amounts in {
            WHOLE: (60.0, 40.0),
            "hour": (40.0, 40.0),
            "draws": (70.0, 40.0),
        }.items()
        for night, amount in enumerate(amounts)
    ]
    shares = dict(earned(pl.DataFrame(rows)).select("off", "share").iter_rows())
    assert shares == {"hour": pytest.approx(0.2), "draws": pytest.approx(-0.1)}
