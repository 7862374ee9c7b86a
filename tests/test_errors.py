"""Messages say what, expected, found and what to do; exit codes are those of the docs."""

from __future__ import annotations

from nba import errors


def test_a_message_has_its_four_parts() -> None:
    error = errors.InputRefusedError("bad", expected="a", found="b", next_step="c")
    assert str(error) == "bad\n  expected: a\n  found: b\n  what to do: c"


def test_exit_codes() -> None:
    codes = {
        errors.NbaError: 1,
        errors.UsageError: 2,
        errors.InputRefusedError: 65,
        errors.LockHeldError: 75,
        errors.ConfigError: 78,
    }
    assert {kind: kind.exit_code for kind in codes} == codes


def test_problems_are_listed() -> None:
    assert str(errors.ConfigError("wrong", problems=["x", "y"])) == "wrong\n  - x\n  - y"
