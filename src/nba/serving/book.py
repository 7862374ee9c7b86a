"""Search among the customers of one clerk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nba.serving.shapes import BookEntry


def find_in_book(
    book: Sequence[BookEntry], text: str, *, tag_names: Mapping[str, Mapping[str, str]]
) -> list[BookEntry]:
    """Return the customers who meet a search, best first; all of them for an empty one.

    A name or alias that begins with the text goes before one that holds it, then the end of the
    phone number, a tag (by its name in any language, or its code), and the id.

    Parameters
    ----------
    book : sequence of BookEntry
    text : str
        Case and surrounding blanks do not matter.
    tag_names : mapping of str to mapping of str to str
        Names of tags by code and language.
    """
    wanted = text.strip().casefold()
    if not wanted:
        return list(book)
    tags = {
        code
        for code, names in tag_names.items()
        if wanted in {code.casefold(), *(name.casefold() for name in names.values())}
    } | {wanted}
    ranked = [(rank, one) for one in book if (rank := _rank(one, wanted, tags)) is not None]
    return [one for _, one in sorted(ranked, key=lambda pair: (pair[0], pair[1].customer_id))]


def _rank(one: BookEntry, wanted: str, tags: set[str]) -> int | None:
    called = [name.casefold() for name in (one.person.alias, one.person.name) if name]
    checks = (
        any(name.startswith(wanted) for name in called),
        any(wanted in name for name in called),
        wanted.isdigit() and (one.person.phone_tail or "").endswith(wanted),
        any(tag.casefold() in tags for tag in one.tags),
        wanted in one.customer_id.casefold(),
    )
    return next((rank for rank, holds in enumerate(checks) if holds), None)
