"""Locks of either kind: which kind is chosen, one holder at a time, and waiting for it."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sweep.locks.attempts import LOCKS, mine

from scaling.errors import InputError
from scaling.sweep.locks import local
from scaling.sweep.locks.locks import waited_for
from scaling.sweep.locks.records import FileRecords
from scaling.train.stop import Stopped, request_stop, stopping_on_signals


@pytest.mark.parametrize("kind", ["flock", "lease"])
def test_one_holder_and_its_death_frees_it_at_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALING_LOCKS", kind)
    path = tmp_path / "run" / "lock"
    assert LOCKS.free(path), "nobody has what is not there"
    assert not path.parent.exists()
    path.parent.mkdir()
    assert LOCKS.free(path)
    assert not list(path.parent.iterdir()), "looking leaves nothing behind"
    code = (
        "import sys\nfrom pathlib import Path\nfrom scaling.sweep.locks.local import LocalLocks\n"
        "with LocalLocks().locked(Path(sys.argv[1])) as mine:\n    print(mine, flush=True)\n    sys.stdin.read()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, str(path)], text=True, **pipes) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert (mine(path), LOCKS.free(path)) == (False, False)
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
        assert LOCKS.free(path)
        with LOCKS.locked(path) as got:
            assert got
            assert (mine(path), LOCKS.free(path)) == (False, False)
        before = sorted(file.name for file in path.parent.iterdir())
        assert LOCKS.free(path)
        assert sorted(file.name for file in path.parent.iterdir()) == before


def test_where_flock_fails_there_are_leases(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with LOCKS.locked(path) as got:
        assert got
        assert FileRecords(path).numbers() == [1]
        assert (mine(path), LOCKS.free(path)) == (False, False)
        monkeypatch.undo()
        assert not mine(path), "who could take flock sees that others take leases"
    assert LOCKS.free(path)


def test_another_error_of_flock_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output"), LOCKS.locked(path):
        pass


@pytest.mark.parametrize(
    ("kind", "shared"),
    [("nfs4", True), ("cifs", True), ("lustre", True), ("fuse.sshfs", True), ("ext4", False), ("fuseblk", False)],
)
def test_a_file_system_that_machines_share_has_leases(
    kind: str, shared: bool, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 27 0:999 / /proc rw,relatime - proc proc rw\n"
        f"27 1 {os.major(device)}:{os.minor(device)} / /a\\040b rw,relatime shared:1 master:2 - {kind} server:/x rw\n"
    )
    monkeypatch.setattr(local, "_MOUNTS", mounts)
    local._file_system.cache_clear()
    assert mine(path)
    local._file_system.cache_clear()
    assert bool(FileRecords(path).numbers()) is shared


def test_the_kind_of_locks_is_checked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALING_LOCKS", "fcntl")
    with pytest.raises(InputError, match="SCALING_LOCKS=fcntl: must be flock or lease"), LOCKS.locked(path):
        pass


@pytest.mark.parametrize("kind", ["flock", "lease"])
def test_a_lock_is_waited_for(kind: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALING_LOCKS", kind)
    order: list[str] = []

    def wait() -> None:
        order.append("waits")
        with waited_for(LOCKS, path):
            order.append("has it")

    waiting = threading.Thread(target=wait)
    with waited_for(LOCKS, path):
        waiting.start()
        while not order:
            time.sleep(0.01)
        order.append("released")
    waiting.join()
    assert order == ["waits", "released", "has it"]


def test_who_waits_can_be_stopped(path: Path) -> None:
    with stopping_on_signals(), LOCKS.locked(path):
        request_stop()
        with pytest.raises(Stopped), waited_for(LOCKS, path):
            pass
