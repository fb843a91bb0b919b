"""Reading the vectors, which were made by the official packages (see `tests/vectors/*/`)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent.parent / "vectors"


@cache
def load_vectors(name: str) -> Any:
    """The JSON of `tests/vectors/<name>.json`, e.g. `log/flat-tree`; shared, so leave it as it is."""
    return json.loads((VECTORS / f"{name}.json").read_text())
