"""What people read: no code, no empty field, nothing twice, in both languages."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from tests.decisions.world import AS_OF, make_inputs

from nba.decisions import DecisionFiles
from nba.decisions.action_types import PRODUCT_KINDS
from nba.decisions.address import form_of_address
from nba.decisions.decide import decide
from nba.decisions.facts import build_facts
from nba.decisions.inputs import conform_inputs
from nba.decisions.names import Texts, counted
from nba.decisions.reasons import (
    NEED_REASONS,
    PHRASES,
    TEXT_FACTS,
    phrase_flags,
    reasons_of,
)
from nba.decisions.rules import DecisionRules
from nba.decisions.settings import DecisionSettings
from nba.decisions.talking import TalkingPoints, spoken_facts
from nba.schema.languages import LANGUAGES, Language

TAGS = Path(__file__).parents[2] / "features" / "tags.yaml"
CATEGORIES: dict[str, dict[Language, str]] = {"premium_beauty": {"zh": "高端美妆", "en": "Beauty"}}
#: A code as it stands in tables: words joined by underscores, or a field left in braces.
CODE = re.compile(r"[a-z]+_[a-z_]+|[{}]|\|")
ITEM: dict[str, Any] = {
    "product_names": "经典托特包 | Classic Tote",
    "group_topic": "跑团 | Running Club",
    "title": "换季护理 | Care between seasons",
    "content_link": "https://shop.example/c",
    "event_link": "https://shop.example/e",
}


def facts_of(locale: str, **changes: object) -> dict[str, Any]:
    """Return every fact that texts name, known."""
    numbers: dict[str, Any] = dict.fromkeys(TEXT_FACTS, 3.0)
    words = {
        "customer_id": "C0001",
        "clerk_id": "K1",
        "locale": locale,
        "need": "due",
        "need_category": "premium_beauty",
        "due_category": "premium_beauty",
        "main_category": "premium_beauty",
        "product_name": "经典托特包 | Classic Tote",
        "need_last": "链条包 | Chain Bag",
        "event_topic": "跑团 | Running Club",
        "benefit_kind": "coupon",
        "clerk_name": "李娜 | Li Na",
        "store_name": "静安店 | Jing'an",
        "person_name": "王丽",
        "person_alias": None,
        "person_gender": "female",
    }
    return {**numbers, **words, **changes}


@pytest.mark.parametrize("language", LANGUAGES)
def test_reasons_cautions_and_tags_hold_no_code(files: DecisionFiles, language: Language) -> None:
    spoken = spoken_facts(facts_of(language), CATEGORIES)
    texts = []
    for code in PHRASES:
        flags = {name: name == code for name in PHRASES}
        action = files.catalogue.actions[0].model_copy(update={"reasons": (), "caution": code})
        texts += [reason[language] for reason in reasons_of(spoken, flags, action)]
    tags = yaml.safe_load(TAGS.read_text(encoding="utf-8"))
    texts += [tag["name"][language] for tag in tags.values()]
    texts += [action.name.of(language) for action in files.catalogue.actions]
    texts += [text.of(language) for text in files.texts.names.values()]
    assert [text for text in texts if CODE.search(text) or not text.strip()] == []
    is_chinese = [bool(re.search(r"[\u4e00-\u9fff]", text)) for text in texts]
    assert all(is_chinese) if language == "zh" else not any(is_chinese)


def test_who_bought_once_is_told_of_an_estimate_and_not_of_most_others(
    files: DecisionFiles,
) -> None:
    """Fewer than half may ever come back, whatever the gap of those who do."""
    facts = {**facts_of("en"), "need_days": 160.0, "need_usual_gap": 157.0}
    flags = {name: name == "need_once" for name in PHRASES}
    action = files.catalogue.actions[0].model_copy(update={"reasons": (), "caution": "need_once"})
    reason, *_ = reasons_of(spoken_facts(facts, CATEGORIES), flags, action)
    assert "we expect the next need about 157 days after it" in reason["en"]
    assert "估计隔约 157 天会再需要" in reason["zh"]


@pytest.mark.parametrize("number", [0.0, 1.0, 2.0, 1234.0])
def test_days_are_said_as_people_say_them(files: DecisionFiles, number: float) -> None:
    """Today, tomorrow and yesterday have names; one of a thing is no plural."""
    facts = {
        name: number if isinstance(value, float) else value
        for name, value in facts_of("zh").items()
    }
    spoken = spoken_facts(facts, CATEGORIES)
    texts = []
    for code in PHRASES:
        flags = {name: name == code for name in PHRASES}
        action = files.catalogue.actions[0].model_copy(update={"reasons": (), "caution": code})
        texts += [reason[one] for reason in reasons_of(spoken, flags, action) for one in LANGUAGES]
    for name in ("benefit_expiring", "birthday_gift", "event_invite"):
        for language in LANGUAGES:
            writer = TalkingPoints(files.texts, {}, AS_OF, "zh")
            here = spoken_facts({**facts, "locale": language}, CATEGORIES)
            texts += [writer.write(files.catalogue[name], here, ITEM) for _ in range(6)]
    odd = re.compile(r"(?<!\d)[01] ?天[前后]|\(s\)|\b1 \w+s\b|\bin [01] day|\b[01] days? ago")
    assert [text for text in texts if odd.search(text)] == []
    today = [text for text in texts if "today" in text or "今天" in text]
    if number == 0:
        assert any("benefit that lapses today" in text for text in today)
        assert any("coupon" in text for text in today)
        assert any("今天是您的生日" in text for text in today)


@pytest.mark.parametrize("category", ["premium_beauty", "other", "unknown"])
@pytest.mark.parametrize("need", ["due", "new", "companion", "discovery"])
def test_every_need_has_one_reason(need: str, category: str) -> None:
    """Whatever the category is called, however due it is, and however often it was bought."""
    facts = facts_of("en", need=need, need_category=category)
    states = [
        {"need_times": n, "need_due": due, "need_gap": own, "need_usual_gap": usual,
         "need_days": days, "need_last": name}
        for n in (None, 1.0, 2.0, 9.0) for due in (None, 0.4, 0.9, 4.0) for own in (None, 20.0)
        for usual in (None, 59.0) for days, name in ((None, ""), (5.0, ""), (5.0, "Tote"))
    ]  # fmt: skip
    flags = phrase_flags(pl.DataFrame([{**facts, **state} for state in states]))
    assert flags.select(pl.sum_horizontal(NEED_REASONS)).to_series().to_list() == [1] * len(states)


DUE = {"need_due": 0.9, "need_times": 2.0, "need_days": 40.0, "need_usual_gap": 59.0}


@pytest.mark.parametrize(
    ("changes", "zh", "en"),
    [
        (
            {"need_gap": 20.0},
            "Beauty通常每 20 天买一次，上次是 40 天前（链条包）",
            "buys Beauty every 20 days or so; the last time was 40 days ago (Chain Bag)",
        ),
        (
            {"need_gap": None, "need_last": ""},
            "40 天前买过Beauty，估计隔约 59 天会再需要",
            "bought Beauty 40 days ago; we expect the next need about 59 days after it",
        ),
        (
            {"need_gap": None, "need_due": 0.5},
            "上次买这类商品是 40 天前（链条包）",
            "last bought goods of this kind 40 days ago (Chain Bag)",
        ),
        (
            {"need_gap": None, "need_days": None, "need_last": ""},
            "以前看中过经典托特包这类商品",
            "has chosen something like Classic Tote before",
        ),
    ],
)
def test_a_due_need_is_said_by_what_is_known(
    files: DecisionFiles, changes: dict[str, Any], zh: str, en: str
) -> None:
    """Their own habit only from their own gaps; what was bought last, not what is brought."""
    facts = facts_of("en", **{**DUE, "need_category": "Beauty", **changes})
    flags = phrase_flags(pl.DataFrame([facts], infer_schema_length=1)).row(0, named=True)
    action = files.catalogue["replenish_reminder"]
    first = reasons_of(spoken_facts(facts, {}), flags, action)[0]
    assert (first["zh"], first["en"]) == (zh, en)


def test_only_what_the_store_has_is_said_to_be_there(files: DecisionFiles) -> None:
    """No text promises stock or a day of arrival, but where the store is known to have it."""
    promise = re.compile("有货|现货|库存|货架|到店里|今天到|in stock now|in the store|shelf|today")
    bringing = [action for action in files.catalogue.actions if action.brings in PRODUCT_KINDS]
    for action in bringing:
        for language in LANGUAGES:
            spoken = spoken_facts(facts_of(language), CATEGORIES)
            seen = {}
            for in_store in (False, None, True):
                said: dict[str, set[str]] = {"C0001": set()}
                for day in range(20):
                    writer = TalkingPoints(files.texts, said, AS_OF + timedelta(days=day), "zh")
                    text = writer.write(action, spoken, {**ITEM, "in_store": in_store})
                    said["C0001"].add(text)
                seen[in_store] = any(promise.search(text) for text in said["C0001"])
            assert seen == {False: False, None: False, True: action.action_type in
                            files.texts.in_store}, action.action_type  # fmt: skip


def test_thanks_fit_a_purchase_anywhere(files: DecisionFiles) -> None:
    action = files.catalogue["thank_you"]
    texts = [
        text
        for language in LANGUAGES
        for text in (
            action.talking_point.of(language),
            *files.texts.variants["thank_you"].of(language),
        )
    ]
    assert [text for text in texts if re.search("光临|来{store}|visit|coming", text)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_talking_points_hold_no_code_and_name_the_customer(
    files: DecisionFiles, language: Language
) -> None:
    spoken = spoken_facts(facts_of(language), CATEGORIES)
    who = {"zh": "王女士", "en": "王丽"}[language]
    for action in files.catalogue.actions:
        written = []
        said: dict[str, set[str]] = {"C0001": set()}
        for day in range(15):
            writer = TalkingPoints(files.texts, said, AS_OF + timedelta(days=day), "zh")
            written.append(writer.write(action, spoken, ITEM))
            said["C0001"].add(written[-1])
        problems = [text for text in written if CODE.search(text) or who not in text]
        assert problems == [], action.action_type
        if action.enabled:
            assert len(set(written)) >= 12, f"{action.action_type} repeats itself"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_lasts_does_not_run_out(files: DecisionFiles, language: Language) -> None:
    """A bag is bought again, but nobody runs out of it."""
    spoken = spoken_facts(facts_of(language), CATEGORIES)
    action, said = files.catalogue["replenish_reminder"], {"C0001": set[str]()}
    for day in range(12):
        writer = TalkingPoints(files.texts, said, AS_OF + timedelta(days=day), "zh")
        said["C0001"].add(writer.write(action, spoken, {**ITEM, "lasts": True}))
    assert len(said["C0001"]) == 12
    running_out = re.compile("该补|用得差不多|断了|够用|续上|running low|used up|run out|enough")
    assert [text for text in said["C0001"] if running_out.search(text)] == []
    assert running_out.search(writer.write(action, spoken, {**ITEM, "lasts": False}))


def test_numbers_are_counted() -> None:
    lines = ("for 1 day(s)", "2 complaint(s)", "6 more day(s).", "as it is(s)")
    assert [counted(line) for line in lines] == [
        "for 1 day",
        "2 complaints",
        "6 more days.",
        "as it is(s)",
    ]


def test_variants_name_only_enabled_or_known_actions(files: DecisionFiles) -> None:
    enabled = {action.action_type for action in files.catalogue.actions if action.enabled}
    assert enabled <= set(files.texts.variants)
    for name, variants in files.texts.variants.items():
        assert len(variants.zh) == len(variants.en) >= 2, name


def test_neighbours_read_different_sentences(files: DecisionFiles) -> None:
    action = files.catalogue["favourite_pick"]
    writer = TalkingPoints(files.texts, {}, AS_OF, "zh")
    texts = []
    for number in range(40):
        facts = facts_of("zh", customer_id=f"C{number}", person_name=None)
        texts.append(writer.write(action, spoken_facts(facts, {}), ITEM))
    assert [one for one, other in pairwise(texts) if one == other] == []


@pytest.mark.parametrize(
    ("name", "alias", "gender", "zh", "en"),
    [
        ("王丽", None, "female", "王女士", "王丽"),
        ("王丽", "丽姐", "female", "丽姐", "丽姐"),
        ("司马光", None, "m", "司马先生", "司马光"),
        ("李梅 | Mei Li", None, "F", "李女士", "Mei Li"),
        ("Ann Lee", None, "female", "Ann Lee", "Ann Lee"),
        (" ", "", None, "", "there"),
    ],
)
def test_the_form_of_address_follows_language_and_gender(
    name: str, alias: str | None, gender: str | None, zh: str, en: str
) -> None:
    assert form_of_address(name, alias, gender, "zh") == zh
    assert form_of_address(name, alias, gender, "en") == en


def test_a_plan_greets_by_name_and_never_repeats_itself(files: DecisionFiles) -> None:
    inputs = make_inputs(200)
    ids = inputs["customer_state"]["customer_id"]
    names = pl.DataFrame({"customer_id": ids, "name": [f"王小{i}" for i in range(len(ids))]})
    rules = files.rules(DecisionSettings())
    first = decide({**inputs, "names": names}, rules, as_of=AS_OF).actions
    listed = first.filter(pl.col("rank").is_not_null())
    called = dict(names.iter_rows())
    for customer, text in listed.select("customer_id", "talking_point").iter_rows():
        assert called[customer] in text
    said = listed.select("customer_id", text="talking_point")
    again = decide({**inputs, "names": names, "said": said}, rules, as_of=AS_OF).actions
    both = listed.join(again, on=["customer_id", "action_type"]).select(
        "talking_point", "talking_point_right"
    )
    assert both.height == listed.height
    assert both.filter(pl.col("talking_point") == pl.col("talking_point_right")).is_empty()


def test_a_project_may_do_without_texts(files: DecisionFiles) -> None:
    bare: DecisionRules = replace(files, texts=Texts()).rules(DecisionSettings())
    plan = decide(make_inputs(60), bare, as_of=datetime(2026, 3, 2)).actions
    assert plan.filter(pl.col("rank").is_not_null())["talking_point"].null_count() == 0


def test_a_friend_of_the_night_before_last_is_no_friend_of_yesterday(files: DecisionFiles) -> None:
    """Days are of the calendar, as in all other reasons."""
    inputs = make_inputs(20)
    late = AS_OF - timedelta(hours=26)
    state = inputs["customer_state"].with_columns(friend_since=pl.lit(late))
    tables = conform_inputs({**inputs, "customer_state": state})
    facts = build_facts(
        tables, tables["needs"].with_columns(is_restocked=False), as_of=AS_OF,
        policy=files.policy, tags=(),
    )  # fmt: skip
    assert set(facts["friend_days"]) == {2.0}


def test_who_is_in_one_group_is_not_said_to_be_in_none(files: DecisionFiles) -> None:
    action = files.catalogue["group_invite"]
    flags = {code: code == "groups_open" for code in PHRASES}
    spoken = spoken_facts(facts_of("en", groups_open=1.0), CATEGORIES)
    first = reasons_of(spoken, flags, action)[0]
    assert first["en"] == "you have a topic group that they have not joined yet"
    assert first["zh"] == "你有顾客还没加入的话题群"
