"""Models, queries and routes are left out of the garbage collector's rounds.

A full round over them takes two to three tenths of a second in which nothing is answered.
"""

from __future__ import annotations

import gc


def freeze_objects() -> None:
    """Collect what is garbage now, and leave what is left out of later rounds."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
