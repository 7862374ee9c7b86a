"""The OpenAPI document as a file, so that a change of the contract is seen where it is made.

`python -m nba.serving.document` writes `docs/openapi.json`; `--check` fails where it is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, cast

from nba.serving.app import create_app
from nba.serving.services import Services

#: Where the document is kept.
PLACE: Final = "docs/openapi.json"


def text() -> str:
    """Return the document of this version as it is kept."""
    # no route is called: the document needs neither a store nor cards
    nothing = cast("Any", None)
    app = create_app(Services(nothing, nothing, preview=lambda changes: {}))
    return json.dumps(app.openapi(), ensure_ascii=False, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Write the document below the current folder, or check it."""
    path = Path.cwd() / PLACE
    if "--check" not in arguments:
        path.write_text(text(), encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == text():
        return 0
    print(f"{PLACE} is out of date: run `python -m nba.serving.document`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
