"""What a fit says of itself: a sentence, a description, a card in two languages, tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl


@dataclass(frozen=True)
class FitStory:
    """What is noted with the run of a fit.

    Parameters
    ----------
    title : str
        One sentence: the run's name.
    description : str
        Plain words: what, on which data, how good against what, what to beware of.
    tags : mapping of str to str
    card : mapping of str to str
        The model card by language, Markdown.
    tables : mapping of str to DataFrame
        Figures behind it, kept as CSV.
    pictures : mapping of str to callable
        Each draws a matplotlib figure, or returns None where matplotlib is not installed.
    rows : mapping of str to int
        Rows of each table that was learned from.
    digest : str
        Of the lake that they come from.
    evaluation : mapping of str to DataFrame
        Predicted and actual, kept as tables that the pages of runs show and compare.
    """

    title: str
    description: str
    tags: Mapping[str, str] = field(default_factory=dict)
    card: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    pictures: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""
    evaluation: Mapping[str, pl.DataFrame] = field(default_factory=dict)
