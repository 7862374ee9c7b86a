"""What docstrings promise: examples that run, and parameters that are described."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src"
#: With so many arguments a function's signature no longer explains itself.
MANY = 4


def module_name(path: Path) -> str:
    """Return the dotted name of a module."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


WITH_EXAMPLES = sorted(
    module_name(path) for path in SOURCE.rglob("*.py") if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_run(name: str) -> None:
    result = doctest.testmod(import_module(name))
    assert result.attempted
    assert not result.failed


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the public functions of a module and the public methods of its public classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_"):
                yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)


def undescribed(text: str) -> list[str]:
    """Name the public functions with `MANY` or more arguments and no section `Parameters`.

    Examples
    --------
    >>> undescribed("def f(a, b, c, d): '''Add.'''")
    ['f']
    """
    undescribed_names = []
    for function in public_functions(ast.parse(text).body):
        arguments = function.args
        names = [
            argument.arg
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
            if argument.arg not in ("self", "cls")
        ]
        sections = (ast.get_docstring(function) or "").splitlines()
        if len(names) >= MANY and "Parameters" not in sections:
            undescribed_names.append(function.name)
    return undescribed_names


def test_functions_of_many_arguments_describe_them() -> None:
    # Verbs of the command line and routes of the API describe theirs by `help` and OpenAPI.
    elsewhere = (SOURCE / "nba" / "cli", SOURCE / "nba" / "serving" / "routes")
    names = [
        f"{module_name(path)}.{name}"
        for path in sorted(SOURCE.rglob("*.py"))
        if not any(path.is_relative_to(folder) for folder in elsewhere)
        for name in undescribed(path.read_text(encoding="utf-8"))
    ]
    assert not names


def test_a_function_without_parameters_section_is_reported() -> None:
    undescribed_function = "def fit(a, b, c, *, d):\n    '''Fit.'''\n"
    assert undescribed(undescribed_function) == ["fit"]
    assert undescribed(undescribed_function.replace("Fit.", "Fit.\n\n    Parameters\n")) == []
    assert undescribed("class A:\n    def f(self, a, b, c):\n        '''Do.'''\n") == []
