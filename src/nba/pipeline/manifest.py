"""What a run leaves behind: the inputs, and per step counts, versions, seconds and memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nba.pipeline.ports import RunFolder

FILE = "manifest.json"


@dataclass
class Manifest:
    """The manifest of one `as_of`: the inputs it stands on and the steps done on them.

    Parameters
    ----------
    folder : RunFolder
        The run's folder.
    inputs : dict
        Versions of everything the run reads. Steps done on other inputs do not count.
    steps : dict
        Step name → what it reported.
    """

    folder: RunFolder
    inputs: dict[str, Any] = field(default_factory=dict)
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: RunFolder) -> Manifest:
        """Read the manifest in `folder`; an empty one where there is none."""
        text = folder.read_text(FILE)
        if text is None:
            return cls(folder)
        content = json.loads(text)
        return cls(folder, content["inputs"], content["steps"])

    def record(self, step: str, report: Mapping[str, Any]) -> None:
        """Note that `step` is done and keep the manifest on disk."""
        self.steps[step] = dict(report)
        self.write()

    def write(self) -> None:
        """Keep the manifest on disk."""
        content = {"inputs": self.inputs, "steps": self.steps}
        self.folder.write_text(FILE, json.dumps(content, indent=1, default=str))
