"""When a model is fitted anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import nba
from nba.models.spec import ModelSpec
from nba.models.version import ModelVersion
from nba.pipeline.train import config_digest, fit_is_due

AS_OF = datetime(2026, 3, 1)


def spec(**changes: object) -> ModelSpec:
    values = {
        "name": "mode",
        "kind": "prior",
        "feature_service": "mode",
        "window_days": 365,
        "retrain_every_days": 7,
    }
    return ModelSpec.model_validate({**values, **changes})


def champion(of: ModelSpec, as_of: datetime) -> ModelVersion:
    return ModelVersion("mode", "1", "run", Path("mode"), as_of, config_digest(of))


def test_a_champion_serves_until_it_is_old_or_has_seen_the_future() -> None:
    one = spec()
    assert fit_is_due(one, None, AS_OF) == "no champion yet"
    assert fit_is_due(one, champion(one, AS_OF - timedelta(days=6)), AS_OF) == ""
    assert "7 days old" in fit_is_due(one, champion(one, AS_OF - timedelta(days=7)), AS_OF)
    assert "later data" in fit_is_due(one, champion(one, AS_OF + timedelta(days=1)), AS_OF)


def test_other_parameters_and_another_version_of_nba_fit_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = spec()
    fitted = champion(one, AS_OF)
    other = spec(parameters={"believed_share": 0.2})
    assert "configuration" in fit_is_due(other, fitted, AS_OF)
    monkeypatch.setattr(nba, "__version__", "99")
    assert "version" in fit_is_due(one, fitted, AS_OF)


def test_a_refused_fit_is_tried_again_by_age_and_a_pinned_champion_stays() -> None:
    one = spec()
    old = champion(spec(parameters={"believed_share": 0.3}), AS_OF - timedelta(days=3))
    refused = champion(one, AS_OF - timedelta(days=2))
    assert "configuration" in fit_is_due(one, old, AS_OF)
    assert fit_is_due(one, old, AS_OF, refused=refused) == ""
    assert "configuration" in fit_is_due(one, old, AS_OF + timedelta(days=5), refused=refused)
    pinned = replace(old, pinned=True)
    assert fit_is_due(one, pinned, AS_OF + timedelta(days=90)) == ""
    assert "later data" in fit_is_due(one, pinned, AS_OF - timedelta(days=9))
