"""How a clerk addresses a customer: by alias, else by name, in the customer's language."""

from __future__ import annotations

import re
from typing import Final

from nba.schema.languages import Language, in_language

#: Chinese family names of two characters; all others have one.
_TWO_CHARACTERS: Final = frozenset(
    [
        "欧阳",
        "上官",
        "司马",
        "司徒",
        "诸葛",
        "夏侯",
        "皇甫",
        "尉迟",
        "公孙",
        "令狐",
        "慕容",
        "长孙",
        "宇文",
        "东方",
        "南宫",
        "独孤",
        "端木",
    ]
)
_CHINESE: Final = re.compile(r"[\u4e00-\u9fff·]{2,}")
_FEMALE: Final = frozenset({"female", "f", "女", "woman"})
_MALE: Final = frozenset({"male", "m", "男", "man"})
#: How a customer without a name is addressed: 您好, Hello there.
_NOBODY: Final = {"zh": "", "en": "there"}


def form_of_address(
    name: str | None, alias: str | None, gender: str | None, language: Language
) -> str:
    """Return what stands for the customer in a sentence to them; never empty in English.

    An alias is what the clerk calls them, and stands as it is. In Chinese a Chinese name
    becomes family name and title where the gender is known.

    Parameters
    ----------
    name, alias : str or None
        Of the customer.
    gender : str or None
        In any of the words that exports use.
    language : {"zh", "en"}
        Of the sentence.

    Examples
    --------
    >>> form_of_address("王丽", None, "female", "zh"), form_of_address("欧阳明", None, "男", "zh")
    ('王女士', '欧阳先生')
    >>> form_of_address("王丽", "丽姐", "female", "zh"), form_of_address("王丽", None, None, "zh")
    ('丽姐', '王丽')
    >>> form_of_address("Ann Lee", None, "female", "en"), form_of_address(None, None, None, "en")
    ('Ann Lee', 'there')
    """
    if alias and alias.strip():
        return in_language(alias.strip(), language)
    known = in_language((name or "").strip(), language)
    if not known:
        return _NOBODY[language]
    title = _title(gender)
    if language == "zh" and title and _CHINESE.fullmatch(known):
        family = known[:2] if known[:2] in _TWO_CHARACTERS and len(known) > 2 else known[:1]
        return family + title
    return known


def _title(gender: str | None) -> str:
    said = (gender or "").strip().lower()
    return "女士" if said in _FEMALE else "先生" if said in _MALE else ""
