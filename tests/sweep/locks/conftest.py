"""The path of a lock."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a lock, in an empty folder."""
    return tmp_path / "lock"
