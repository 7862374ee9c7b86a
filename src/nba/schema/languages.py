"""One text for readers of two languages.

A name, title or topic of the tables may hold both: `中文 | English`. Each reader sees their own.
"""

from __future__ import annotations

from typing import Final, Literal

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh", "en")
#: Stands between the Chinese and the English text.
BETWEEN: Final = " | "


def language_of(locale: str | None, default: str) -> Language:
    """Return the language of a locale such as `zh-CN`; of `default` where there is none.

    >>> language_of("zh-Hans", "en"), language_of(None, "en"), language_of("fr", "zh")
    ('zh', 'en', 'en')
    """
    return "zh" if (locale or default).lower().startswith("zh") else "en"


def in_language(text: str, language: Language) -> str:
    """Return what a reader of `language` sees of a text that may hold both.

    >>> in_language("手袋 | Handbags", "zh"), in_language("手袋 | Handbags", "en")
    ('手袋', 'Handbags')
    >>> in_language("Handbags", "zh")
    'Handbags'
    """
    first, between, second = text.partition(BETWEEN)
    return (second if language == "en" else first).strip() if between and second else text
