"""Arms of catalogues, texts and models: from a file to a night, its replay and its end."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from tests.jobs.conftest import DAY, wiring
from typer.testing import CliRunner, Result

from nba.cli import app
from nba.decisions.next_actions import next_actions
from nba.errors import ConfigError, InputRefusedError, NbaError, UsageError
from nba.jobs.impact.live_record import planned_shares, running_test
from nba.jobs.impact.live_spec import arms_of_spec
from nba.jobs.nightly import run_nightly
from nba.jobs.progress import silent
from nba.pipeline.rescore import Rescorer
from nba.settings import Project

NEXT = DAY + timedelta(days=1)
SENTENCE = "Hello {customer}, this sentence is of the arm alone."


def call(shop: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["--project", str(shop), *words])


def night(shop: Path, day: datetime, step: str = "") -> None:
    run_nightly(wiring(shop), day, progress=silent, force=bool(step), from_step=step or None)


def content_of(shop: Path, name: str) -> dict[str, Any]:
    content = yaml.safe_load((shop / "serving" / name).read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def write(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def drafts(shop: Path, folder: Path) -> Path:
    """A marketer's folder: shorter contacts, one sentence for all, another model, by arm."""
    catalogue, texts = content_of(shop, "actions.yaml"), content_of(shop, "texts.yaml")
    for action in catalogue["actions"]:
        action["minutes"] = action["minutes"] / 2
    write(folder / "short.yaml", catalogue)
    plain = content_of(shop, "actions.yaml")
    for action in plain["actions"]:
        action["talking_point"] = {"zh": SENTENCE, "en": SENTENCE}
    write(folder / "said.yaml", plain)
    write(folder / "texts.yaml", {"version": texts["version"], "names": texts["names"]})
    arms = {
        "short": {"share": 0.25, "catalogue": "short.yaml"},
        "words": {"share": 0.2, "catalogue": "said.yaml", "texts": "texts.yaml"},
        "clock": {"share": 0.2, "models": {"timing": "challenger"}},
        "due_worth": {"share": 0.1},
    }
    return write(folder / "spec.yaml", {"arms": arms})


@dataclass
class Story:
    """A shop on the first night of a test, and what starting it printed."""

    shop: Path
    spec: Path
    started: Result


@pytest.fixture(scope="module")
def story(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("arms")
    shop = folder / "project"
    shutil.copytree(made, shop)
    path = shop / "models" / "timing.yaml"
    simple = {"kind": "recency_gap", "parameters": {"cutoff_step_days": 45}}
    model = yaml.safe_load(path.read_text(encoding="utf-8")) | simple
    write(path, model | {"gates": [{"metric": "auc", "at_least": 0.999}]})
    night(shop, datetime(DAY.year, DAY.month, DAY.day), "train")
    spec = drafts(shop, folder)
    start = ["experiment", "start", "drafts", "--spec", str(spec), "--reason", "is shorter better?"]
    started = call(shop, *start)
    night(shop, datetime(NEXT.year, NEXT.month, NEXT.day))
    return Story(shop, spec, started)


def test_the_night_plans_each_arm_by_its_rules(story: Story) -> None:
    assert story.started.exit_code == 0, story.started.output
    said = call(story.shop, "experiment", "list").output
    assert "short 25% (own catalogue)" in said
    assert "words 20% (own catalogue, texts)" in said
    assert "clock 20% (own timing 2)" in said
    assert "running" in said
    folder = wiring(story.shop).runs.of(NEXT)
    log, actions = folder.read("plan/log"), folder.read("plan/actions")
    assert {"engine", "holdout", "short", "words", "clock", "due_worth"} == set(log["arm"])
    versions = dict(log.group_by("arm").agg(pl.col("policy_version").first()).iter_rows())
    assert len({versions[arm] for arm in ("engine", "short", "words")}) == 3
    assert versions["clock"] == versions["engine"] == versions["due_worth"]
    models = dict(log.group_by("arm").agg(pl.col("model_versions").first()).iter_rows())
    assert "timing:2" in models["clock"]
    assert "timing:1" in models["engine"]
    minutes = {one["action_type"]: one["minutes"] for one in content_of_plan(story.shop)}
    contacts = actions.filter(pl.col("rank").is_not_null())
    for arm, factor in (("short", 0.5), ("engine", 1.0), ("words", 1.0)):
        mine = contacts.filter(pl.col("arm") == arm)
        assert mine.height
        expected = [minutes[name] * factor for name in mine["action_type"]]
        assert mine["minutes"].to_list() == pytest.approx(expected)
    spoken = contacts.filter(pl.col("talking_point").str.contains("of the arm alone"))
    assert set(spoken["arm"]) == {"words"}
    assert spoken.height == contacts.filter(pl.col("arm") == "words").height
    assert contacts["propensity"].is_between(0, 1).all()
    clerks = folder.read("plan/clerks")
    assert (clerks["minutes_planned"] <= clerks["minutes_own"] + 1e-6).all()


def content_of_plan(shop: Path) -> list[dict[str, Any]]:
    return list(content_of(shop, "actions.yaml")["actions"])


def test_replay_and_explain_follow_the_arm(story: Story) -> None:
    actions = wiring(story.shop).runs.of(NEXT).read("plan/actions")
    for arm in ("short", "words", "clock", "engine"):
        row = actions.filter((pl.col("arm") == arm) & pl.col("rank").is_not_null())
        done = call(story.shop, "plan", "replay", row["action_id"][0])
        assert done.exit_code == 0, done.output
        assert "the same bytes" in done.output
    mine = actions.filter((pl.col("arm") == "short") & pl.col("rank").is_not_null())
    customer, kind = mine.select("customer_id", "action_type").row(0)
    explained = call(story.shop, "plan", "--as-of", str(NEXT), "--explain", customer)
    assert explained.exit_code == 0, explained.output
    assert f"{customer} of clerk" in explained.output
    assert "arm short" in explained.output
    drawn = next(line for line in explained.output.splitlines() if "drawn True" in line)
    assert f"action_type {kind}," in drawn


def test_during_the_day_the_arms_models_and_rules_answer(story: Story) -> None:
    wired = wiring(story.shop)
    context = wired.run(datetime(NEXT.year, NEXT.month, NEXT.day))
    rescorer = Rescorer.of(context)
    log = context.folder.read("plan/log")
    assert set(rescorer.arm_models) == {"clock"}
    for arm in ("clock", "short"):
        acted = pl.col("action_type").is_not_null()
        ids = log.filter((pl.col("arm") == arm) & acted)["customer_id"].to_list()[:2]
        of_night = next_actions(rescorer.book, ids, rescorer.rules, as_of=rescorer.as_of)
        found = pl.concat([rescorer.customer(one) for one in ids])
        columns = ["customer_id", "action_type", "arm", "policy_version", "model_versions"]
        same = of_night.sort("customer_id", "rank").select(columns)
        assert found.sort("customer_id", "rank").select(columns).equals(same)
        assert set(found["arm"]) == {arm}
        along = rescorer.as_the_night(rescorer.beside(ids[0], 5))
        assert next(iter(along)) == ids[0]
        shown = pl.exclude("talking_point")  # no two customers of a clerk are told the same
        assert along[ids[0]].select(shown).equals(rescorer.customer(ids[0]).select(shown))


def test_sizes_are_checked_and_the_analysis_names_every_arm(story: Story) -> None:
    shares = planned_shares(wiring(story.shop), NEXT, NEXT)
    assert shares["short"] == 0.25
    assert shares["engine"] == pytest.approx(1 - 0.1 - 0.25 - 0.2 - 0.2 - 0.1)
    out = story.shop / "report"
    days = ["--from", str(NEXT), "--to", str(NEXT), "--out", str(out)]
    done = call(story.shop, "report", *days)
    assert done.exit_code == 0, done.output
    arms = {row["arm"] for row in json.loads((out / "report.json").read_text())["arms"]}
    assert {"short", "words", "clock"} <= arms


def test_a_test_whose_files_no_longer_fit_ends_by_itself(story: Story, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shutil.copytree(story.shop, shop)
    catalogue = content_of(shop, "actions.yaml")
    extra = {**catalogue["actions"][-1], "action_type": "brand_new"}
    write(
        shop / "serving" / "actions.yaml", {**catalogue, "actions": [*catalogue["actions"], extra]}
    )
    write(shop / "serving" / "levers.yaml", {"version": 1, "actions": {"brand_new": 10}})
    from nba.jobs.impact.live_tests import guard

    (said,) = guard(wiring(shop), NEXT + timedelta(days=1))
    assert "cannot be planned" in said
    assert "brand_new" in said
    assert running_test(Project.open(shop)) is None


@pytest.mark.parametrize(
    ("arms", "error", "said"),
    [
        ({"short": {"share": 0.3}}, UsageError, "changes nothing"),
        ({"short": {"share": 0.3, "catalog": "x.yaml"}}, ConfigError, "catalog"),
        ({"short": {"share": 0.3, "catalogue": "nowhere.yaml"}}, UsageError, "cannot be read"),
        ({"due_worth": {"share": 0.3, "catalogue": "short.yaml"}}, UsageError, "simple list"),
        ({"a": {"share": 0.3, "catalogue": "same.yaml"}}, UsageError, "changes nothing"),
        ({"a": {"share": 0.3, "models": {"timing": 1}}}, UsageError, "is the champion"),
        ({"a": {"share": 0.3, "models": {"timing": 9}}}, NbaError, "no version 9"),
        ({"a": {"share": 0.3, "models": {"weather": 1}}}, UsageError, "no model"),
        ({"a": {"share": 0.3, "catalogue": "wrong.yaml"}}, InputRefusedError, "actions.yaml:"),
        ({"a": {"share": 0.3, "catalogue": "wider.yaml"}}, UsageError, "other people"),
        ({"a": {"share": 0.3, "policy": "posts.yaml"}}, UsageError, "holds for everybody"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_it_begins(
    story: Story, tmp_path: Path, arms: dict[str, Any], error: type[Exception], said: str
) -> None:
    shutil.copy(story.spec.parent / "short.yaml", tmp_path)
    shutil.copy(story.shop / "serving" / "actions.yaml", tmp_path / "same.yaml")
    wrong, wider = (content_of(story.shop, "actions.yaml") for _ in range(2))
    wrong["actions"][0]["minutes"] = -1
    for action in wider["actions"]:
        action["enabled"] = True
    policy = content_of(story.shop, "contact_policy.yaml")
    policy["handovers_per_90_days"] = 1
    for name, content in (("wrong", wrong), ("wider", wider), ("posts", policy)):
        write(tmp_path / f"{name}.yaml", content)
    with pytest.raises(error, match=said):
        arms_of_spec(wiring(story.shop), write(tmp_path / "spec.yaml", {"arms": arms}))
