"""Why: facts as phrases that a clerk can say aloud, one caution, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from types import MappingProxyType
from typing import Any, Final

import polars as pl

from nba.decisions.action_types import ActionType
from nba.decisions.names import counted
from nba.features.expressions import parse_expression
from nba.schema.languages import Language

#: The most reasons shown beside the caution.
MOST_REASONS: Final = 3
#: Reasons of the action itself that come before all others.
OWN_REASONS: Final = 2
#: Reasons that name the need that is served: the one that holds comes first of all.
NEED_REASONS: Final = (
    "need_due", "need_once", "need_again", "need_known", "need_new", "need_arrived",
    "need_companion", "need_discovery", "need_liked",
)  # fmt: skip
#: Where the category of what is brought has no name that says anything.
_UNNAMED: Final = "(need_category == 'unknown' or need_category == 'other')"
#: A due need of which it is known when the customer bought of it last.
_BOUGHT: Final = "need == 'due' and need_days is not None"
#: The customer's own rhythm says that it is time; and the same, of what is usual.
_BY_OWN: Final = f"(not {_UNNAMED} and need_gap is not None and coalesce(need_due, 0) >= 0.7)"
_BY_USUAL: Final = (
    f"(not {_UNNAMED} and need_gap is None and need_usual_gap is not None"
    " and (coalesce(need_times, 1) < 2 or coalesce(need_due, 0) >= 0.7))"
)
#: Reasons about a category that is due, which is not always the one that is brought.
_OTHER_NEEDS: Final = ("category_due", "repeat_favourite", "new_for_taste")


@dataclass(frozen=True)
class Phrase:
    """A fact in words: shown where `when` holds; the texts name facts in braces."""

    when: str
    zh: str
    en: str
    kind: str = "reason"


PHRASES: Final[Mapping[str, Phrase]] = MappingProxyType(
    {
        "open_complaint": Phrase(
            "open_complaints > 0",
            "有 {open_complaints:.0f} 个投诉还没有解决",
            "{open_complaints:.0f} complaint(s) not yet settled",
        ),
        "open_question": Phrase(
            "open_questions > 0", "提的问题还没有回复", "asked a question that is still open"
        ),
        "open_after_sale": Phrase(
            "open_after_sales > 0", "有售后事项在处理", "has an after-sale case under way"
        ),
        "birthday_soon": Phrase(
            "days_to_birthday <= 7",
            "{days_to_birthday:.0f} 天后生日",
            "birthday in {days_to_birthday:.0f} day(s)",
        ),
        "benefit_expires": Phrase(
            "benefit_days <= 14",
            "有权益 {benefit_days:.0f} 天后到期",
            "holds a benefit that lapses in {benefit_days:.0f} day(s)",
        ),
        "need_due": Phrase(
            f"{_BOUGHT} and {_BY_OWN}",
            "{need_category}通常每 {need_gap:.0f} 天买一次，上次是 {need_days:.0f} 天前{need_last}",
            "buys {need_category} every {need_gap:.0f} day(s) or so; the last time was "
            "{need_days:.0f} day(s) ago{need_last}",
        ),
        "need_once": Phrase(
            f"{_BOUGHT} and {_BY_USUAL}",
            # an estimate of the gap, between those who came back and all who bought: no share
            "{need_days:.0f} 天前买过{need_category}{need_last}，估计隔约 {need_usual_gap:.0f} "
            "天会再需要",
            "bought {need_category} {need_days:.0f} day(s) ago{need_last}; we expect the next need "
            "about {need_usual_gap:.0f} day(s) after it",
        ),
        "need_again": Phrase(
            f"{_BOUGHT} and not {_BY_OWN} and not {_BY_USUAL}",
            "上次买这类商品是 {need_days:.0f} 天前{need_last}",
            "last bought goods of this kind {need_days:.0f} day(s) ago{need_last}",
        ),
        "need_known": Phrase(
            "need == 'due' and need_days is None",
            "以前看中过{product_name}这类商品",
            "has chosen something like {product_name} before",
        ),
        "need_new": Phrase(
            "need == 'new' and need_category != 'unknown' and need_category != 'other'",
            "常买{need_category}，这是新到的：{product_name}",
            "buys {need_category}, and this is new: {product_name}",
        ),
        "need_arrived": Phrase(
            f"need == 'new' and {_UNNAMED}", "这是新到的：{product_name}", "{product_name} is new"
        ),
        "need_companion": Phrase(
            "need == 'companion'",
            "和刚买的东西相配：{product_name}",
            "{product_name} goes with what was just bought",
        ),
        "need_discovery": Phrase(
            "need == 'discovery' and need_category != 'unknown' and need_category != 'other'",
            "还没买过{need_category}，口味相近的人喜欢{product_name}",
            "has not bought {need_category} yet; people of like taste choose {product_name}",
        ),
        "need_liked": Phrase(
            f"need == 'discovery' and {_UNNAMED}",
            "口味相近的人喜欢{product_name}",
            "people of like taste choose {product_name}",
        ),
        "category_due": Phrase(
            "due_category_overdue >= 0.8 and due_category != 'unknown' and due_category != 'other'",
            "按以往节奏，{due_category}又该买了",
            "by past rhythm, {due_category} is due",
        ),
        "overdue": Phrase(
            "overdue_ratio >= 1 and coalesce(purchase_days, 0) >= 4",
            "通常每 {gap_days_median:.0f} 天来一次，这次已 {days_since_purchase:.0f} 天",
            "usually buys every {gap_days_median:.0f} day(s), and it has been "
            "{days_since_purchase:.0f}",
        ),
        "likely_soon": Phrase(
            "p_purchase_14d >= 0.3",
            "两周内购买的可能性约 {p_purchase_14d:.0%}",
            "about {p_purchase_14d:.0%} likely to buy within two weeks",
        ),
        "repeat_favourite": Phrase(
            "repeat_products > 0",
            "有常买的商品可以带上",
            "has favourites that can be brought again",
        ),
        "new_for_taste": Phrase(
            "new_products > 0", "有合口味的新品", "there are new products to this customer's taste"
        ),
        "restocked": Phrase(
            "restocked_products > 0", "喜欢的商品到货了", "a product of interest is back in stock"
        ),
        "loyal": Phrase(
            "purchase_days_365d >= 6",
            "近一年来过 {purchase_days_365d:.0f} 次",
            "bought on {purchase_days_365d:.0f} day(s) in the past year",
        ),
        "valuable": Phrase(
            "price_tier >= 4", "偏好较高价位的商品", "prefers the higher price range"
        ),
        "responsive": Phrase(
            "response_rate >= 0.3",
            "以往消息的回应率 {response_rate:.0%}",
            "answers {response_rate:.0%} of messages",
        ),
        "sleeping": Phrase(
            "overdue_ratio >= 2.5",
            "已沉睡 {days_since_purchase:.0f} 天",
            "dormant for {days_since_purchase:.0f} day(s)",
        ),
        "recent_purchase": Phrase(
            "days_since_purchase <= 7",
            "{days_since_purchase:.0f} 天前刚买过",
            "bought {days_since_purchase:.0f} day(s) ago",
        ),
        "event_near": Phrase(
            "event_days <= 14",
            "{event_days:.0f} 天后门店有活动：{event_topic}",
            "an event in the store in {event_days:.0f} day(s): {event_topic}",
        ),
        "new_friend": Phrase(
            "friend_days <= 30",
            "{friend_days:.0f} 天前成为好友",
            "became a friend {friend_days:.0f} day(s) ago",
        ),
        "not_contacted": Phrase(
            "days_since_contact >= 30",
            "已 {days_since_contact:.0f} 天没有联系",
            "not contacted for {days_since_contact:.0f} day(s)",
        ),
        "groups_open": Phrase(
            "groups_open > 0",
            "你有顾客还没加入的话题群",
            "you have a topic group that they have not joined yet",
        ),
        "unseen_content": Phrase(
            "True", "有还没看过的内容", "there is something that they have not seen yet"
        ),
        "your_customer": Phrase("True", "是你的顾客", "is your customer"),
        "one_message": Phrase(
            "True", "只发一条，不催促", "one message only; do not press", "caution"
        ),
        "no_selling": Phrase(
            "True", "先解决问题，不推销", "solve the matter first; do not sell", "caution"
        ),
        "no_discount": Phrase("True", "不要主动打折", "do not offer a discount unasked", "caution"),
        "not_here": Phrase(
            "need_elsewhere > 0",
            "本店现在没有货，帮顾客在线上下单",
            "your store has none now; help them order online",
            "caution",
        ),
        "often_contacted": Phrase(
            "contacts_30d >= 3",
            "近 30 天已联系 {contacts_30d:.0f} 次，点到为止",
            "already contacted {contacts_30d:.0f} time(s) in 30 days; keep it short",
            "caution",
        ),
        "rarely_answers": Phrase(
            "unanswered_streak >= 3",
            "最近 {unanswered_streak:.0f} 次没有回应，不要追问",
            "the last {unanswered_streak:.0f} contact(s) had no answer; do not insist",
            "caution",
        ),
        "if_bought": Phrase(
            "True",
            "如果今天已经购买，就不必联系",
            "if they bought today, leave it",
            "change",
        ),
        "if_solved": Phrase(
            "True",
            "如果问题已经解决，就改为感谢",
            "if it is solved already, just thank them",
            "change",
        ),
    }
)
#: The order in which reasons are tried after the action's own.
GENERAL: Final = (
    "category_due",
    "overdue",
    "likely_soon",
    "loyal",
    "responsive",
    "valuable",
    "recent_purchase",
    "not_contacted",
    "new_friend",
    "your_customer",
)
#: Cautions that go before the action's own.
STRONGER_CAUTIONS: Final = ("not_here", "rarely_answers", "often_contacted")
REASON_TYPE: Final = pl.List(
    pl.Struct({"code": pl.String, "kind": pl.String, "zh": pl.String, "en": pl.String})
)


def phrase_flags(facts: pl.DataFrame) -> pl.DataFrame:
    """Return a column per phrase: whether it holds and every fact that it names is known."""
    flags = []
    for code, phrase in PHRASES.items():
        holds = parse_expression(phrase.when).polars().fill_null(False)
        for name in _named(phrase):
            holds = holds & pl.col(name).is_not_null()
        flags.append(holds.alias(code))
    return facts.select(flags) if facts.height else facts.select(flags).clear()


def _named(phrase: Phrase) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(phrase.en) if name}


def reasons_of(
    facts: Mapping[Language, Mapping[str, Any]],
    flags: Mapping[str, bool],
    action: ActionType,
    weights: Mapping[str, float] | None = None,
) -> list[dict[str, str]]:
    """Return two or three reasons, one caution and what would change the advice.

    Parameters
    ----------
    facts : mapping of {"zh", "en"} to mapping
        Of one customer: facts by name, as they stand in texts of each language.
    flags : mapping of str to bool
        By phrase whether it can be said.
    action : ActionType
        What it serves comes first, then its own reasons: the first two that hold.
    weights : mapping of str to float, optional
        How much each feature contributed to the models' scores of this customer: of the other
        reasons, those that rest on the strongest come first.
    """
    served = [code for code in NEED_REASONS if flags[code]][:1]
    left_out = _OTHER_NEEDS if served else ()
    own = [*served, *(code for code in action.reasons if flags[code] and code not in left_out)]
    others = [
        code
        for code in dict.fromkeys((*own[OWN_REASONS:], *GENERAL))
        if flags[code] and code not in left_out
    ]
    if weights:
        others.sort(key=lambda code: -_weight(code, weights))
    codes = list(dict.fromkeys((*own[:OWN_REASONS], *others)))[:MOST_REASONS]
    stronger = () if action.service else STRONGER_CAUTIONS
    caution = next((code for code in stronger if flags[code]), action.caution)
    change = "if_solved" if action.service else "if_bought"
    return [_phrase(code, facts) for code in (*codes, caution, change)]


def _weight(code: str, weights: Mapping[str, float]) -> float:
    return max((abs(weights.get(name, 0.0)) for name in _facts_of(PHRASES[code])), default=0.0)


def _facts_of(phrase: Phrase) -> set[str]:
    """Return the facts that a phrase reads or names."""
    return set(parse_expression(phrase.when).names) | _named(phrase)


def _phrase(code: str, facts: Mapping[Language, Mapping[str, Any]]) -> dict[str, str]:
    phrase = PHRASES[code]
    return {
        "code": code,
        "kind": phrase.kind,
        "zh": counted(phrase.zh.format_map(facts["zh"])),
        "en": counted(phrase.en.format_map(facts["en"])),
    }


#: The facts that phrases, talking points and contact windows read, where they are known.
TEXT_FACTS: Final = frozenset(
    {
        "customer_id",
        "store_id",
        "locale",
        "main_category",
        "due_category",
        "benefit_kind",
        "benefit_days",
        "event_days",
        "event_topic",
        "p_purchase_30d",
        "purchase_hour_peak",
        "purchase_days",
        "response_hour_peak",
        "responses_90d",
        *(name for phrase in PHRASES.values() for name in _facts_of(phrase)),
    }
)
