"""Which kinds of model exist, and what happens to a name that does not."""

from __future__ import annotations

import pytest

from nba.errors import ConfigError
from nba.models.kinds import KINDS, RENAMED, model_class


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_every_kind_is_the_class_that_says_so(name: str, kind: str) -> None:
    found = model_class(name, kind)
    assert (found.name, found.kind) == (name, kind)


def test_an_unknown_kind_names_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="residual_effects") as error:
        model_class("mode", "oracle")
    assert "oracle" in str(error.value)


@pytest.mark.parametrize(("name", "old"), RENAMED)
def test_an_old_name_is_answered_with_the_new_one(name: str, old: str) -> None:
    with pytest.raises(ConfigError, match=f"kind: {RENAMED[name, old]}"):
        model_class(name, old)
    assert (name, RENAMED[name, old]) in KINDS
