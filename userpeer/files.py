"""Small files that are replaced as a whole, so that a crash leaves either the old one or the new one."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def replace_file(path: Path, data: bytes) -> None:
    """Write `path`, readable by its owner only. Raises `OSError`; then the old file is as it was."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def read_json(path: Path, missing: Any) -> Any:
    """The JSON in a file; `missing` when it is not there or not readable."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return missing


def write_json(path: Path, value: Any) -> None:
    """Raises `OSError`."""
    replace_file(path, json.dumps(value, ensure_ascii=False, indent=1).encode())
