"""A service beside a storage follows what other machines plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nba.errors import NbaError
from nba.logs import log
from nba.pipeline.follow import follow
from nba.serving.background import Background
from nba.wiring import Wiring

#: How often, in seconds, it is looked for a new version.
LOOK_SECONDS: Final = 15.0


def bring_newest(wiring: Wiring) -> None:
    """Bring the newest version of the storage here, and its plan to where it is served from."""
    if wiring.storage is not None:
        wiring.storage.refresh()
        follow(wiring, wiring.settings)


class Follower(Background):
    """A thread that brings each new version here.

    Parameters
    ----------
    look : callable
        Brings what is new.
    seconds : float
        Between two looks.
    """

    def __init__(self, look: Callable[[], None], seconds: float = LOOK_SECONDS) -> None:
        super().__init__("follower")
        self._look = look
        self._seconds = seconds

    def _run(self) -> None:
        while not self._ending.wait(self._seconds):
            try:
                self._look()
            except NbaError as error:  # the next round tries again
                log().error("the storage could not be followed", error=type(error).__name__)
            except Exception as error:
                log().exception("the storage could not be followed", error=type(error).__name__)
