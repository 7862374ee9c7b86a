"""docs/decisions.md says every field, fact and setting; a new one without a line fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from nba.decisions import ActionType, ContactPolicy, DecisionSettings
from nba.decisions.action_types import TEMPLATE_FIELDS, Brings
from nba.decisions.facts import DERIVED

PAGE = (Path(__file__).parents[2] / "docs" / "decisions.md").read_text()


@pytest.mark.parametrize("model", [ActionType, ContactPolicy, DecisionSettings])
def test_every_field_is_described(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert f"| `{name}" in PAGE, name
        if field.description and not isinstance(
            field.get_default(call_default_factory=True), BaseModel
        ):
            assert field.description in PAGE, name


def test_every_fact_and_word_is_there() -> None:
    for name, meaning in DERIVED.items():
        assert f"| `{name}` | {meaning} |" in PAGE
    assert all(f"`{kind}`" in PAGE for kind in Brings)
    assert all(f"{{{field}}}" in PAGE for field in TEMPLATE_FIELDS)
