"""How tests call the command line: in this process, or as a user does in one of its own.

Most of a short command's time in a process of its own is the import of libraries; what a test
proves about the command is the same here.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

import pytest

from nba.cli import main


def nba(*words: object, code: int = 0, **environment: str) -> str:
    """Run a command in this process; return what it printed, stdout first.

    Parameters
    ----------
    words : object
        The words of the command, after `nba`.
    code : int
        The exit code that it must have.
    environment : str
        Variables that it sees beside those of the tests.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["nba", *map(str, words)]),
        mock.patch.dict(os.environ, environment),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    printed = out.getvalue() + err.getvalue()
    assert (ended.value.code or 0) == code, printed[-6000:]
    assert "Traceback" not in printed
    return printed


def nba_apart(*words: object) -> str:
    """Run a command in a process of its own; return what it printed, stdout first."""
    done = subprocess.run(
        [sys.executable, "-m", "nba", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr
