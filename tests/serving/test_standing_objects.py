"""What stands is left out of the collector's rounds, and garbage is not."""

from __future__ import annotations

import gc
import weakref

from nba.serving.standing_objects import leave_standing


class Ring:
    """Holds itself, so that only the collector finds it."""

    def __init__(self) -> None:
        self.own = self


def test_what_stands_is_not_looked_through_and_garbage_goes() -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    try:
        leave_standing()
        assert gc.get_freeze_count() > 0
        del ring  # garbage of what stood goes when what stands is left anew
        leave_standing()
        assert gone() is None
    finally:
        gc.unfreeze()
