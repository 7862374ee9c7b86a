"""The report's texts: every one can be said."""

from __future__ import annotations

from string import Formatter

import pytest

from nba.jobs.impact import texts


@pytest.mark.parametrize("key", sorted(texts._TEXTS))
def test_a_text_asks_for_named_values_alone(key: str) -> None:
    """Braces that are no place for a value would fail the page that says them."""
    for template in texts._TEXTS[key]:
        asked = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
        assert all(name.isidentifier() for name in asked), asked
        template.format(**dict.fromkeys(asked, "1"))


def test_a_setting_is_quoted_as_it_is_written() -> None:
    assert "`arms: {holdout: 0.1}`" in texts.text("hold_out", "en")
