"""Names of codes for people, in both languages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from nba.decisions.action_types import TemplateText, Text
from nba.schema.languages import LANGUAGES, Language, in_language

#: How the days around today are said.
_NEAR_DAYS: Final = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"\bin 0 day\(s\)", "today"),
        (r"\bin 1 day\(s\)", "tomorrow"),
        (r"\b0 day\(s\) ago", "today"),
        (r"\b1 day\(s\) ago", "yesterday"),
        (r"\bevery 1 day\(s\)", "every day"),
        (r"\s*(?<![\d.])0 ?天[前后]\s*", "今天"),
        (r"\s*(?<![\d.])1 ?天后\s*", "明天"),
        (r"\s*(?<![\d.])1 ?天前\s*", "昨天"),
        (r"每 ?1 ?天", "每天"),
    )
)
_COUNTED: Final = re.compile(r"\b(\d+)( more)? (\w+)\(s\)")


def counted(text: str) -> str:
    """Return a text as people say it: days around today by name, `(s)` behind a number written out.

    >>> counted("2 complaint(s), in 3 day(s)")
    '2 complaints, in 3 days'
    >>> counted("lapses in 0 day(s); bought 1 day(s) ago; every 1 day(s)")
    'lapses today; bought yesterday; every day'
    >>> counted("有权益 0 天后到期，上次是 1 天前，10 天后再来")
    '有权益今天到期，上次是昨天，10 天后再来'
    """
    if "day(s)" in text or "天" in text:  # most texts name neither, and a plan writes many
        for pattern, word in _NEAR_DAYS:
            text = pattern.sub(word, text)
    return _COUNTED.sub(_plural, text) if "(s)" in text else text


def _plural(found: re.Match[str]) -> str:
    number, more, word = found.groups()
    return f"{number}{more or ''} {word}{'' if number == '1' else 's'}"


class Variants(BaseModel):
    """Other ways to say what an action's talking point says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zh: tuple[TemplateText, ...] = Field((), description="in Chinese")
    en: tuple[TemplateText, ...] = Field((), description="in English")

    def of(self, language: Language) -> tuple[str, ...]:
        """Return the texts of a language."""
        return self.zh if language == "zh" else self.en


class Texts(BaseModel):
    """`texts.yaml`: what people read in place of codes, and how else a thing can be said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(1, ge=1, description="version of the file's format")
    names: Mapping[str, Text] = Field(
        default_factory=dict,
        description="names of categories, values of tags and other codes; before `categories.name`",
    )
    variants: Mapping[str, Variants] = Field(
        default_factory=dict, description="by action type: more talking points, which take turns"
    )
    lasting: Mapping[str, Variants] = Field(
        default_factory=dict,
        description="by action type: what is said in place of all these where goods are brought "
        "that are not used up (`categories.replenishable`)",
    )
    in_store: Mapping[str, Variants] = Field(
        default_factory=dict,
        description="by action type: more talking points where the clerk's store is known to have "
        "all that is brought; the only ones that may say so",
    )
    openers: Variants = Field(
        default_factory=Variants,
        description="stand before a talking point once each of its variants was used",
    )

    def category_names(self, given: Mapping[str, str | None]) -> dict[str, dict[Language, str]]:
        """Return the names of categories by code and language.

        Parameters
        ----------
        given : mapping of str to str or None
            `categories.name` by category, which may hold both languages.
        """
        names: dict[str, dict[Language, str]] = {
            code: {language: in_language(name, language) for language in LANGUAGES}
            for code, name in given.items()
            if name
        }
        for code, text in self.names.items():
            names[code] = {"zh": text.zh, "en": text.en}
        return names
