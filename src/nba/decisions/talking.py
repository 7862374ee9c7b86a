"""What a clerk can say: talking points in the customer's language, in turns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final

import polars as pl

from nba.decisions.action_types import ActionType, Brings
from nba.decisions.address import form_of_address
from nba.decisions.names import Texts, counted
from nba.schema.languages import LANGUAGES, Language, in_language, language_of

_BENEFITS: Final = {
    "coupon": {"zh": "优惠券", "en": "coupon"},
    "points": {"zh": "积分", "en": "points balance"},
    "gift": {"zh": "礼品", "en": "gift"},
    "": {"zh": "权益", "en": "benefit"},
}
#: What is said of a birthday today, tomorrow, and later.
_BIRTHDAYS: Final = {
    "zh": ("今天是您的生日", "明天是您的生日", "您的生日快到了"),
    "en": ("it is your birthday today", "tomorrow is your birthday", "your birthday is near"),
}
_OUR_STORE: Final = {"zh": "店里", "en": "our store"}
_WHAT_FITS: Final = {"zh": "您喜欢的商品", "en": "what you like"}
#: Facts that hold a category's code, and facts whose text may hold both languages.
_CATEGORIES: Final = ("need_category", "due_category", "main_category")
_BILINGUAL: Final = ("product_name", "event_topic")
#: What was bought last stands in brackets behind the day, where it is known.
_IN_BRACKETS: Final = {"zh": "（{}）", "en": " ({})"}
#: Days in which a customer gets no sentence twice.
SAME_TEXT_DAYS: Final = 30


def spoken_facts(
    facts: Mapping[str, Any], categories: Mapping[str, Mapping[Language, str]]
) -> dict[Language, dict[str, Any]]:
    """Return the facts as texts of each language name them.

    Parameters
    ----------
    facts : mapping
        Of one customer, by name.
    categories : mapping of str to mapping
        Names of categories by code and language.
    """
    return {language: _spoken(facts, categories, language) for language in LANGUAGES}


def _spoken(
    facts: Mapping[str, Any],
    categories: Mapping[str, Mapping[Language, str]],
    language: Language,
) -> dict[str, Any]:
    spoken = dict(facts)
    for name in _CATEGORIES:
        code = spoken.get(name)
        if code is not None:
            spoken[name] = categories.get(code, {}).get(language, code)
    for name in _BILINGUAL:
        if spoken.get(name) is not None:
            spoken[name] = in_language(spoken[name], language)
    last = spoken.get("need_last")
    spoken["need_last"] = _IN_BRACKETS[language].format(in_language(last, language)) if last else ""
    return spoken


def text_fields(
    action: ActionType,
    facts: Mapping[str, Any],
    item: Mapping[str, Any],
    language: Language,
    *,
    as_of: datetime,
) -> dict[str, str]:
    """Return what stands for each of `TEMPLATE_FIELDS`.

    Parameters
    ----------
    action : ActionType
    facts : mapping
        As spoken in `language`; see `spoken_facts`.
    item : mapping
        What is brought.
    language : {"zh", "en"}
    as_of : datetime
    """
    event_day = as_of + timedelta(days=facts["event_days"] or 0)
    benefit = _BENEFITS.get(facts["benefit_kind"] or "", _BENEFITS[""])
    birthday = facts["days_to_birthday"]
    title = item["group_topic"] if action.brings is Brings.GROUP else item["title"]
    return {
        "customer": form_of_address(
            facts["person_name"], facts["person_alias"], facts["person_gender"], language
        ),
        "clerk": in_language(facts["clerk_name"] or "", language),
        "store": in_language(facts["store_name"] or _OUR_STORE[language], language),
        "product": in_language(item["product_names"] or _WHAT_FITS[language], language),
        "category": facts["need_category"] or facts["due_category"] or "",
        "days": f"{facts['benefit_days'] or 0:.0f}",
        "date": f"{event_day.month}月{event_day.day}日"
        if language == "zh"
        else f"{event_day.day} {event_day:%B}",
        "event": facts["event_topic"] or "",
        "title": in_language(title or "", language),
        "benefit": benefit[language],
        "birthday": _BIRTHDAYS[language][2 if birthday is None else min(int(birthday), 2)],
        "link": item["event_link" if action.brings is Brings.EVENT else "content_link"] or "",
    }


@dataclass
class TalkingPoints:
    """Writes talking points so that nobody reads the same sentence twice in a month.

    Parameters
    ----------
    texts : Texts
        Variants and openers.
    said : mapping of str to set of str
        What was written for each customer in the past `SAME_TEXT_DAYS`.
    as_of : datetime
    locale : str
        Of customers who have none.

    Notes
    -----
    Lists are written in their order: two neighbours with the same action get different variants.
    """

    texts: Texts
    said: Mapping[str, set[str]]
    as_of: datetime
    locale: str
    _before: tuple[object, ...] = field(default=(), init=False)

    @classmethod
    def of(cls, texts: Texts, said: pl.DataFrame, *, as_of: datetime, locale: str) -> TalkingPoints:
        """Return the writer of a plan.

        Parameters
        ----------
        texts : Texts
            Templates and names.
        said : DataFrame
            customer_id, text: what each customer was told lately.
        as_of : datetime
            00:00 of the plan's day.
        locale : str
            Where the customer's is not known.
        """
        known: dict[str, set[str]] = {}
        for customer, text in said.select("customer_id", "text").drop_nulls().iter_rows():
            known.setdefault(customer, set()).add(text)
        return cls(texts, known, as_of, locale)

    def write(
        self,
        action: ActionType,
        spoken: Mapping[Language, Mapping[str, Any]],
        item: Mapping[str, Any],
    ) -> str:
        """Return the text for one customer; call it in the order of the list."""
        language = language_of(spoken["zh"]["locale"], self.locale)
        facts = spoken[language]
        fields = text_fields(action, facts, item, language, as_of=self.as_of)
        customer = facts["customer_id"]
        templates = self._templates(action, language, item)
        start = _turn(customer, self.as_of, len(templates))
        known = self.said.get(customer, set())
        text, chosen = "", 0
        for chosen, template in self._in_turn(templates, start, language):
            here = (facts["clerk_id"], action.action_type, language, chosen)
            text = counted(" ".join(template.format_map(fields).split()))
            if text not in known and (here != self._before or len(templates) == 1):
                break
        self._before = (facts["clerk_id"], action.action_type, language, chosen)
        return text

    def _templates(
        self, action: ActionType, language: Language, item: Mapping[str, Any]
    ) -> list[str]:
        """Return the texts that hold for what is brought."""
        lasting = self.texts.lasting.get(action.action_type) if item.get("lasts") else None
        if lasting and lasting.of(language):
            return list(lasting.of(language))
        holding = [self.texts.variants, *([self.texts.in_store] if item.get("in_store") else [])]
        more = (variants.get(action.action_type) for variants in holding)
        of_language = (found.of(language) for found in more if found)
        return [action.talking_point.of(language), *chain.from_iterable(of_language)]

    def _in_turn(
        self, templates: Sequence[str], start: int, language: Language
    ) -> Iterator[tuple[int, str]]:
        """Yield every variant from `start` on, first as it is, then behind each opener."""
        for opener in ("", *self.texts.openers.of(language)):
            for step in range(len(templates)):
                place = (start + step) % len(templates)
                yield place, opener + templates[place]


def _turn(customer_id: str, as_of: datetime, count: int) -> int:
    """Return with which of `count` variants a customer's day begins."""
    content = f"{customer_id}\x1f{as_of.date().isoformat()}".encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=4).digest(), "big") % count
