"""Files that are written once: frozen forecasts."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.errors import InputError
from analysis.files import beside, synced


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 over a JSON object, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def freeze_once(path: Path, text: str) -> bool:
    """Writes a file whole, atomically, if it is not there; False where it is.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside(path) as temporary:
            synced(temporary, text.encode())
            os.link(temporary, path)  # unlike a rename, never replaces what another process froze first
    except FileExistsError:
        return False
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return True
