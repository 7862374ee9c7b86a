"""A day of living lists: policy, minutes and propensities are kept at every step."""

from __future__ import annotations

import pytest

from experiments.living_day.run import living_day


@pytest.mark.proof
def test_a_day_of_living_lists_keeps_its_promises() -> None:
    found = living_day()
    assert found["broken"] == {"with": {}, "without": {}}
    assert found["replayed_to_the_byte"] == found["decisions"] > 0
    assert found["with"]["minutes"] > found["without"]["minutes"]
    assert found["drawn_again"] >= 10_000
    assert 0.8 < found["chi_square"] < 1.25
