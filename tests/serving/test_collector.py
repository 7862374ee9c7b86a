"""What is kept is left out of the collector's rounds, and garbage is not."""

from __future__ import annotations

import gc
import weakref

from nba.serving.collector import freeze_objects


class Ring:
    """Holds itself, so that only the collector finds it."""

    def __init__(self) -> None:
        self.own = self


def test_what_is_kept_is_not_looked_through_and_garbage_goes() -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    try:
        freeze_objects()
        assert gc.get_freeze_count() > 0
        del ring  # garbage of what was frozen goes at the next time
        freeze_objects()
        assert gone() is None
    finally:
        gc.unfreeze()
