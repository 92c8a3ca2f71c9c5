"""The identity of a process, by which others on its machine can tell that it has ended."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

_BOOT, _SPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def this_process() -> dict[str, Any]:
    """Identity of this process, for others on this machine to detect its end; empty where there is no /proc."""
    here: dict[str, Any] = {"host": socket.gethostname()[:255], "pid": os.getpid()}
    with suppress(OSError):
        here |= {"boot": _BOOT.read_text().strip(), "space": os.readlink(_SPACE), "started": _started(os.getpid())}
    return here


def has_ended(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    here, pid = this_process(), holder.get("pid")
    if "boot" not in here or any(holder.get(key) != here[key] for key in ("host", "boot", "space")):
        return False
    if not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
        return _started(pid) != holder.get("started")
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False


def _started(pid: int) -> str | None:
    """Start time of a process, in ticks since boot; None if it has ended, even where it is not reaped yet."""
    state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return None if state in ("Z", "X") else rest[18]
