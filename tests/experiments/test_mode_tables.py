"""On made-up tests the learned choice never loses, and wins where effects differ."""

from __future__ import annotations

import pytest

from experiments.mode_tables.run import CASES, is_met, judged


@pytest.mark.proof
@pytest.mark.parametrize("differ", [False, True], ids=["alike", "differ"])
@pytest.mark.parametrize("name", CASES)
def test_the_learned_choice_never_loses_and_wins_where_effects_differ(
    name: str, differ: bool
) -> None:
    row = judged(name, differ=differ, seed=7)
    assert is_met(row), row
