"""The exception tree.

::

    NbaError                 exit 1   something failed that the message explains
    ├── UsageError           exit 2   the call itself is wrong
    ├── InputRefusedError    exit 65  input data cannot be loaded; nothing was committed
    ├── LockHeldError        exit 75  another run holds the lock; try again
    ├── ConfigError          exit 78  a configuration file is wrong (all problems at once)
    ├── NotFoundError                 an id that is not known
    ├── ConflictError                 the same key with other content, or a state that forbids it
    │   └── ChangedError              what was to be changed is no longer as the caller knew it
    ├── NotPermittedError             the caller may not see or do this
    ├── UnavailableError              a store or server does not answer; try again
    └── ModelError                    a model cannot be fitted, loaded or scored

Every message says what failed, what was expected, what was found and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence


class NbaError(Exception):
    """Base of all errors that a user can cause or must act on.

    Parameters
    ----------
    what : str
        What failed, in one sentence.
    expected, found : str
        What was expected and what was there instead; empty where it does not apply.
    next_step : str
        What the reader can do about it.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, expected: str = "", found: str = "", next_step: str = ""
    ) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        self.next_step = next_step
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.what]
        for label, text in (
            ("expected", self.expected),
            ("found", self.found),
            ("what to do", self.next_step),
        ):
            if text:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)


class UsageError(NbaError):
    """The command or call is used wrongly."""

    exit_code = 2


class InputRefusedError(NbaError):
    """Input data cannot be loaded; nothing of the call was committed."""

    exit_code = 65


class LockHeldError(NbaError):
    """Another run holds the project's lock."""

    exit_code = 75


class ConfigError(NbaError):
    """One or more configuration files are wrong.

    Problems are collected and reported together; `problems` holds one line each.
    """

    exit_code = 78

    def __init__(
        self,
        what: str,
        *,
        expected: str = "",
        found: str = "",
        next_step: str = "",
        problems: Sequence[str] = (),
    ) -> None:
        self.problems = tuple(problems)
        super().__init__(what, expected=expected, found=found, next_step=next_step)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {problem}" for problem in self.problems)])


class NotFoundError(NbaError):
    """An id that nothing is known about."""


class ConflictError(NbaError):
    """The request contradicts what is already recorded."""


class ChangedError(ConflictError):
    """What was to be changed is no longer as the caller knew it."""


class NotPermittedError(NbaError):
    """The caller may not see or do this."""


class UnavailableError(NbaError):
    """A store or server does not answer; trying again may help."""


class ModelError(NbaError):
    """A model cannot be fitted, loaded or scored."""


class LostModelError(ModelError):
    """The files of a model are gone, or not as they were registered, where they were stored."""
