"""Storage of each kind, hosts that share one, and retries without delay."""

from pathlib import Path

import fsspec
import pytest
from sweep.storage.hosts import Host

from scaling.sweep.storage import remote as remotes
from scaling.sweep.storage.mirror import Mirror, mirror_for
from scaling.sweep.storage.objects import Bucket, Disk, Objects


@pytest.fixture(params=["disk", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """An empty folder, and an empty bucket in memory."""
    if request.param == "disk":
        return Disk(tmp_path / "shared")
    return Bucket(fsspec.filesystem("memory"), str(tmp_path).lstrip("/"))


@pytest.fixture(params=["file", "memory"])
def host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Name -> the mirror of that host; all mirrors are of one storage."""
    url = f"file://{tmp_path}/shared" if request.param == "file" else f"memory://{str(tmp_path).lstrip('/')}"

    def named(name: str) -> Mirror:
        monkeypatch.setenv("SCALING_CACHE", str(tmp_path / name))
        return mirror_for(url)

    return named


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage is tried three times, without delay."""
    monkeypatch.setattr(remotes, "_DELAYS_S", (0.0, 0.0))
