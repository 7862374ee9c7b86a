"""What an experiment whose page is made from its result leaves behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nba.jobs.experiment_spec import RESULT_FILE


def write_page(result: Mapping[str, Any], page: str, folder: Path) -> str:
    """Write `result.json` and `README.md` into `folder`, and return the page."""
    text = json.dumps(result, indent=1, sort_keys=True)
    (folder / RESULT_FILE).write_text(text + "\n")
    (folder / "README.md").write_text(page)
    return page
