"""Locks among all processes that see a folder on a disk: flock, or leases where flock does not reach.

Flock ends with its holder at once, but binds processes of one machine only, as far as a program can tell. So on a file
system that several machines may share, and where flock fails, locks are leases. SCALING_LOCKS=lease makes them leases
everywhere, as is needed on the machine that serves its own disk to the others; SCALING_LOCKS=flock trusts that flock
reaches all. All processes on a folder must have the same.
"""

import errno
import fcntl
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scaling.errors import InputError
from scaling.sweep.locks import leases
from scaling.sweep.locks.leases import leased
from scaling.sweep.locks.records import FileRecords

_MOUNTS = Path("/proc/self/mountinfo")
_SHARED = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "ocfs2"),
    *("orangefs", "panfs", "pvfs2", "smb3", "smbfs", "virtiofs", "wekafs"),
)
_NO_FLOCK = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass(frozen=True)
class LocalLocks:
    """``Locks`` of a folder on a local or network disk.

    Its methods raise InputError if SCALING_LOCKS is neither ``flock`` nor ``lease``.
    """

    @contextmanager
    def locked(self, path: Path) -> Iterator[bool]:
        """Holds a lock; yields False at once if another process has it."""
        if not _by_lease(path):
            with open(path, "a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                except OSError as error:
                    if error.errno not in _NO_FLOCK:
                        raise
                else:
                    yield True
                    return
        with leased(FileRecords(path)) as mine:
            yield mine

    def free(self, path: Path) -> bool:
        """Whether no process holds a lock; makes no file."""
        if not path.parent.is_dir():
            return True
        if _by_lease(path):
            return leases.free(FileRecords(path))
        try:
            with open(path) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError) as error:
            return isinstance(error, FileNotFoundError)
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise
            return leases.free(FileRecords(path))
        return True


def _by_lease(path: Path) -> bool:
    kind = os.environ.get("SCALING_LOCKS", "")
    if kind not in ("", "flock", "lease"):
        raise InputError(f"SCALING_LOCKS={kind}: must be flock or lease")
    if kind:
        return kind == "lease"
    # A record says that somebody else takes leases here.
    return _file_system(path.parent.stat().st_dev) in _SHARED or bool(FileRecords(path).numbers())


@functools.cache
def _file_system(device: int) -> str:
    """The type of the file system of a device, ``fuse`` for all but the local ones of it; empty if it is unknown."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return ""
    for mount in mounts:
        if mount[2] == wanted:
            kind = mount[mount.index("-") + 1]
            return "fuse" if kind.startswith("fuse.") else kind
    return ""
