"""What a validation found wrong, in plain words: where, what is expected, and what is there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Final, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from nba.errors import ConfigError

_Location = tuple[str | int, ...]

#: More known fields than these are not listed: the page has them.
_LISTED: Final = 20
#: How an expectation reads, by pydantic's type of error; braces take its context.
_EXPECTED: Final[Mapping[str, str]] = {
    "missing": "a value",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "date_from_datetime_parsing": "a date as 2026-01-31",
    "date_parsing": "a date as 2026-01-31",
    "date_type": "a date as 2026-01-31",
    "datetime_from_date_parsing": "a time as 2026-01-31T08:00:00",
    "datetime_parsing": "a time as 2026-01-31T08:00:00",
    "dict_type": "a mapping of names to values",
    "enum": "{expected}",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "invalid_key": "a text as the name",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "mapping_type": "a mapping of names to values",
    "model_attributes_type": "a mapping of names to values",
    "model_type": "a mapping of names to values",
    "path_type": "a path",
    "set_type": "a list",
    "string_pattern_mismatch": "a text of the form {pattern}",
    "string_sub_type": "a text",
    "string_too_long": "a length of at most {max_length}",
    "string_too_short": "a length of at least {min_length}",
    "string_type": "a text",
    "too_long": "a length of at most {max_length}",
    "too_short": "a length of at least {min_length}",
    "tuple_type": "a list",
}
#: Values that are one of a few words.
_WORDS: Final = ("enum", "literal_error")


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return `did you mean a, b?` for the nearest of `known`, or an empty string."""
    matches = difflib.get_close_matches(name, sorted(known), n=count, cutoff=0.5)
    return f"did you mean {', '.join(matches)}?" if matches else ""


def validation_problems(
    what: str, error: ValidationError, model: type[BaseModel], *, page: str
) -> ConfigError:
    """Return a `ConfigError` with every problem that a validation found.

    Parameters
    ----------
    what : str
        What is wrong, in one sentence.
    error : ValidationError
    model : type of BaseModel
        What was validated.
    page : str
        Where its fields are described.
    """
    return ConfigError(
        what,
        expected=f"the fields and values that {page} describes",
        next_step=f"correct each line below; {page} describes every field",
        problems=problem_lines(error, model),
    )


def problem_lines(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return a line per problem: where, what, expected and found."""
    lines = []
    for item in error.errors():
        location, message, expected, found = described(item, model)
        where = ".".join(map(str, location)) or "file"
        tail = f"; expected: {expected}" if expected else ""
        lines.append(f"{where}: {message}{tail}; found: {found}")
    return lines


def described(item: Mapping[str, Any], model: type[BaseModel]) -> tuple[_Location, str, str, str]:
    """Return where a problem of a validation of `model` is, what it is, expected and found.

    The value of an unknown field and what stands in place of a secret are not shown.
    """
    given = tuple(part for part in item["loc"] if part != "[key]")
    if item["type"] == "extra_forbidden":
        location, owner = _walked(model, given[:-1])
        message, expected = _unknown(str(given[-1]), owner, model)
        return (*location, given[-1]), message, expected, str(given[-1])
    location, kind = _walked(model, given)
    if item["type"] == "missing":
        return location, "a required field is absent", _EXPECTED["missing"], "nothing"
    found = type(item["input"]).__name__ if _is_secret(kind) else short(item["input"])
    if item["type"] not in _EXPECTED:
        return location, str(item["msg"]).removeprefix("Value error, "), "", found
    context = item.get("ctx", {})
    expected = _EXPECTED[item["type"]].format(**context)
    hint = ""
    if item["type"] in _WORDS:
        hint = nearest(str(item["input"]), re.findall(r"'([^']+)'", expected), 1)
    return location, "wrong value" + (f"; {hint}" if hint else ""), expected, found


def short(value: object) -> str:
    """Return a value as it is shown in a message."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _unknown(name: str, owner: Any, model: type[BaseModel]) -> tuple[str, str]:
    """Return what is said of a field that its owner does not know, and what is expected."""
    known = sorted(owner.model_fields) if _is_model(owner) else []
    elsewhere = [path for path in _paths(model) if path.rpartition(".")[2] == name]
    hint = f"did you mean {', '.join(elsewhere)}?" if elsewhere else nearest(name, known, 1)
    message = "unknown field" + (f"; {hint}" if hint else "")
    return message, ", ".join(known) if len(known) <= _LISTED else ""


def _paths(model: type[BaseModel], above: str = "") -> list[str]:
    """Return the fields of a model and of the sections in it, by their place from the top."""
    paths = []
    for name, field in model.model_fields.items():
        paths.append(above + name)
        if _is_model(field.annotation):
            paths += _paths(field.annotation, f"{above}{name}.")
    return paths


def _walked(model: type[BaseModel], given: Sequence[str | int]) -> tuple[_Location, Any]:
    """Return a location without the names of a union's members, and what stands there."""
    current: Any = model
    location: _Location = ()
    for part in given:
        inner = _step(current, part)
        if inner is None and get_origin(current) in (Union, UnionType):
            continue
        location, current = (*location, part), inner
    return location, current


def _step(kind: Any, part: str | int) -> Any:
    """Return what stands in a `kind` under a name or number; None where it is not known."""
    if _is_model(kind):
        field = kind.model_fields.get(str(part))
        return field.annotation if field is not None else None
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _step(inner[0], part)
    if origin in (Union, UnionType):
        return next((found for one in inner if (found := _step(one, part)) is not None), None)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return inner[1]
    if isinstance(origin, type) and issubclass(origin, Iterable) and isinstance(part, int):
        return inner[0]
    return None


def _is_model(candidate: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _is_secret(kind: Any) -> bool:
    return kind is SecretStr or any(_is_secret(one) for one in get_args(kind))
