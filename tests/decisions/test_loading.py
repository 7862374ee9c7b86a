"""The three YAML files: every problem in one report, with file, line, expected, found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from nba.decisions import (
    DecisionFiles,
    DecisionRules,
    DecisionSettings,
    Factors,
    load_decision_files,
)
from nba.decisions.loading import files_version
from nba.errors import ConfigError
from nba.features import VIEWS
from nba.schema.words import CONTACT_MODES

SERVING = Path(__file__).parents[2] / "serving"
TAGS = Path(__file__).parents[2] / "features" / "tags.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("actions.yaml", "contact_policy.yaml", "levers.yaml", "texts.yaml"):
        shutil.copy(SERVING / name, tmp_path / name)
    return tmp_path


def edit(folder: Path, name: str, old: str, new: str) -> int:
    """Replace one text and return its line."""
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def problems(folder: Path, **known: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_decision_files(folder, **known)  # type: ignore[arg-type]
    assert caught.value.exit_code == 78
    return list(caught.value.problems)


def test_the_template_is_complete(files: DecisionFiles) -> None:
    actions = files.catalogue.actions
    assert len(actions) >= 18
    assert {action.mode for action in actions} == set(CONTACT_MODES)
    assert not any(action.enabled for action in actions if action.group == "friend")
    assert sum(action.group == "friend" for action in actions) == 2
    assert all(action.service for action in actions if action.group == "service")


def test_the_template_uses_declared_features_and_tags_only() -> None:
    facts = {
        feature.name
        for name in ("customer_state", "customer_behaviour", "customer_contact")
        for feature in VIEWS[name].features
    }
    load_decision_files(SERVING, facts=facts, tags=yaml.safe_load(TAGS.read_text()))


def test_every_problem_of_every_file_in_one_report(folder: Path) -> None:
    lines = [
        edit(folder, "actions.yaml", "mode: topic_expert", "mode: topic_export"),
        edit(folder, "contact_policy.yaml", "per_week: 2", "per_week: often"),
        edit(folder, "contact_policy.yaml", "same_content_days: 60", "same_contents_days: 60"),
        edit(folder, "levers.yaml", "version: 1", "version: 0"),
    ]
    found = problems(folder)
    assert len(found) == 4
    places = ["actions.yaml", "contact_policy.yaml", "contact_policy.yaml", "levers.yaml"]
    for name, line, text in zip(places, lines, sorted(found), strict=True):
        assert text.startswith(f"{folder / name}:{line}:") or name == "contact_policy.yaml", text
    joined = "\n".join(found)
    assert "found: 'topic_export'" in joined
    assert "found: 'often'" in joined
    assert "did you mean same_content_days" in joined


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("open_complaints > 0", "open_complaint > 0", "did you mean open_complaints"),
        ('tag("newborn_family")', 'tag("newborn_famly")', "did you mean newborn_family"),
        ("open_complaints > 0", "open_complaints >", "cannot read"),
        ("open_complaints > 0", "exec('x')", "unknown function 'exec'"),
        ("reasons: [open_complaint]", "reasons: [open_complain]", "did you mean open_complaint"),
        ("{customer}您好，我是", "{customr}您好，我是", "did you mean customer"),
        ("minutes: 8", "minutes: 0", "expected: at least 0.5"),
        ("minutes: 8", "minutse: 8", "did you mean minutes"),
        ("action_type: after_sale_care", "action_type: resolve_complaint", "named twice"),
        ("channel: chat", "channel: chat\n    channel: phone", "stands twice"),
        ("brings: repeat", "brings: repeat\n    profiling: false", "personal products"),
    ],
)
def test_each_mistake_is_named(folder: Path, old: str, new: str, expected: str) -> None:
    edit(folder, "actions.yaml", old, new)
    found = "\n".join(problems(folder, tags=["newborn_family", "vip"]))
    assert expected in found
    assert str(folder / "actions.yaml") + ":" in found


def test_an_idle_lever_and_a_missing_file(folder: Path) -> None:
    edit(folder, "levers.yaml", "actions: {}", "actions: {replenish_remindr: 20}")
    (folder / "contact_policy.yaml").unlink()
    found = "\n".join(problems(folder))
    assert "did you mean replenish_reminder" in found
    assert "contact_policy.yaml:1: cannot be read" in found


def test_broken_yaml_names_its_line(folder: Path) -> None:
    (folder / "levers.yaml").write_text("version: 1\nissues: {\n")
    assert "levers.yaml:3: not YAML" in "\n".join(problems(folder))


def test_the_version_follows_the_bytes(folder: Path) -> None:
    before = files_version(folder)
    assert before == files_version(SERVING)
    edit(folder, "levers.yaml", "care: 0", "care: 1")
    assert files_version(folder) != before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"patience_share": 0.2}, "'patience_share' is called 'fatigue_slope' now"),
        ({"factors": {"patience": False}}, "'patience' is called 'fatigue_cost' now"),
    ],
)
def test_a_setting_under_its_former_name_is_refused_with_its_new_one(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        DecisionSettings.model_validate(given)


def test_rules_kept_under_former_names_can_be_read(files: DecisionFiles) -> None:
    factors = Factors(fatigue_cost=False)
    rules = files.rules(DecisionSettings(factors=factors))
    kept = rules.model_dump(mode="json")
    settings = kept["settings"]
    settings |= {"patience_share": 0.4, "relevance_floor": 0.6}
    settings["factors"]["patience"] = settings["factors"].pop("fatigue_cost")
    settings |= {"time_zone": "Asia/Shanghai", "currency": "CNY"}
    assert DecisionRules.model_validate_json(json.dumps(kept)) == rules


def test_texts_are_in_languages_that_there_are(files: DecisionFiles) -> None:
    for locale in ("zh", "en", "zh-CN", "en_GB"):
        assert DecisionSettings(locale=locale).locale == locale
    for locale in ("fr", "", "english"):
        with pytest.raises(ValidationError, match="locale"):
            DecisionSettings(locale=locale)
    kept = json.loads(files.rules(DecisionSettings()).model_dump_json())
    kept["settings"]["locale"] = "fr"
    assert DecisionRules.model_validate(kept).settings.locale == "en"
