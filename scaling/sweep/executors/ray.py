"""Workers on a Ray cluster: one that runs already, or one of this machine alone, started for the purpose."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any

from scaling.data.curate.engine.tasks import Task, TaskRunner, errors_of_task
from scaling.data.pool import one_thread
from scaling.errors import InputError
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import cores
from scaling.sweep.host.rank import Rank
from scaling.sweep.spec.arrangement import refuse_uneven
from scaling.sweep.workers.process_group import ProcessGroup
from scaling.sweep.workers.remote_worker import run_rank, run_worker
from scaling.sweep.workers.worker_handle import WorkerError
from scaling.sweep.workers.worker_pool import WorkerPool

# Read by Ray when it is imported: nothing is sent anywhere; a task without a GPU leaves the variables of GPUs alone.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import ray.exceptions
from ray.util import get_node_ip_address, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

# Ray restarts a task whose process or node has died so often; then the pool starts another task.
_RETRIES = 3
# A worker has 25 s to save its state.
_GRACE_S = 30.0
_CONNECT_S = 10.0
# Nothing but the arguments of tasks passes through the object store; this is about the least that it can be.
_STORE_BYTES = 100 * 2**20
_LOG = logging.getLogger(__name__)


@contextmanager
def ray_tasks(sweep: SweepFolder, role: str, workers: int | None, devices: int | None) -> Iterator[WorkerPool]:
    """The ``Executor`` of Ray tasks with one CPU each, or one GPU each where the cluster has GPUs.

    A mesh has one process group of tasks. Where there are GPUs, each task has its share of them on one node.

    All nodes must have the toolkit installed, and see the sweep's folder under the same path.
    """
    if workers is not None and devices is not None:
        refuse_uneven(workers, devices)
    # Ray prints events of its processes on stdout, which is reserved for results.
    with redirect_stdout(sys.stderr):
        _connect(workers or devices)
        try:
            pool = _separate(sweep, role, workers) if devices is None else _grouped(sweep, role, workers, devices)
            try:
                yield pool
            finally:
                pool.stop()
        finally:
            ray.shutdown()


@contextmanager
def ray_runner(workers: int | None) -> Iterator[TaskRunner]:
    """A runner of tasks of data on a Ray cluster, a CPU each, with as many at once as it has, or as ``workers``."""
    with redirect_stdout(sys.stderr), one_thread():
        _connect(workers)
        remote = ray.remote(errors_of_task).options(num_cpus=1, max_retries=_RETRIES)
        most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))

        def run(tasks: Sequence[Task]) -> Iterator[Task]:
            queue = iter(tasks)
            waiting: dict[Any, Task] = {}
            while True:
                waiting |= {remote.remote(task, str(Path.cwd())): task for task in islice(queue, most - len(waiting))}
                if not waiting:
                    return
                (done, *_), _ = ray.wait(list(waiting))
                try:
                    errors = ray.get(done)
                except ray.exceptions.RayError as failure:
                    (*_, last) = str(failure).strip().splitlines()
                    raise InputError(f"Ray task: {last.strip()}") from None
                if errors:
                    raise InputError(errors)
                yield waiting.pop(done)

        try:
            yield run
        finally:
            ray.shutdown()


def _separate(sweep: SweepFolder, role: str, workers: int | None) -> WorkerPool:
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    task = ray.remote(run_worker).options(num_cpus=1, num_gpus=min(gpus, 1), max_retries=_RETRIES)
    folder, directory = str(sweep.path.resolve()), str(Path.cwd())

    def start(empty: Sequence[int]) -> list[RayTask]:
        return [RayTask(f"{role}-{index}", task.remote(folder, role, index, directory)) for index in empty]

    return WorkerPool(workers or gpus or max(1, int(resources.get("CPU", 1))), start)


def _grouped(sweep: SweepFolder, role: str, workers: int | None, devices: int) -> WorkerPool:
    count, share = share_of_mesh(workers, devices)
    resources = {"num_cpus": 1, "num_gpus": share.get("GPU", 0), "max_retries": 0}  # one alone is of no use
    group = placement_group([{"CPU": 1, **share}] * count, strategy="SPREAD")
    bundles = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index) for index in range(count)]
    folder, directory = str(sweep.path.resolve()), str(Path.cwd())

    def start(_: Sequence[int]) -> list[ProcessGroup]:
        coordinator = ray.remote(_free_address).options(num_cpus=1, scheduling_strategy=bundles[0]).remote()
        members = [
            ray.remote(run_rank)
            .options(**resources, scheduling_strategy=bundle)
            .remote(folder, role, directory, Rank(index, count), coordinator)
            for index, bundle in enumerate(bundles)
        ]
        return [ProcessGroup([RayTask(f"{role}-{index}", member) for index, member in enumerate(members)])]

    return WorkerPool(1, start)


def share_of_mesh(workers: int | None, devices: int) -> tuple[int, dict[str, int]]:
    """Number of processes that train a mesh, and the resources of each: its share of the GPUs, or else a CPU.

    Args:
        workers: the number requested, which divides the devices; None for as few as the GPUs of a node allow.
        devices: size of the mesh.

    Raises:
        InputError: they do not fit on the cluster.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = [int(node["GPU"]) for node in nodes if node.get("GPU", 0) >= 1]
    most = max(gpus, default=1)
    count = workers or next(n for n in range(1, devices + 1) if devices % n == 0 and devices // n <= most)
    kind, each = ("GPU", devices // count) if gpus else ("CPU", 1)
    available = gpus or [int(node.get("CPU", 0)) for node in nodes]
    if sum(number // each for number in available) < count:
        found = ", ".join(map(str, available))
        raise InputError(
            f"`executor` ray: the mesh (of {devices} devices) needs {count} times {each} {kind} of one node; "
            f"the nodes of the cluster have {found}"
        )
    return count, {kind: each}


def _free_address() -> str:
    """A free address (host:port) of this node for rank 0 to listen at."""
    with socket.socket() as free:
        free.bind(("", 0))
        return f"{get_node_ip_address()}:{free.getsockname()[1]}"


def _connect(workers: int | None) -> None:
    """Connects to the cluster that RAY_ADDRESS names or that runs on this machine, or else starts one here.

    Raises:
        InputError: no cluster answers at RAY_ADDRESS.
    """
    if named := os.environ.get("RAY_ADDRESS"):
        _check_address(named)
    # Ray replaces them.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        if named:
            token = "a cluster that asks for a token needs RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here too"
            raise InputError(f"RAY_ADDRESS={named}: {str(error).splitlines()[0]}; {token}") from None
        ray.init(
            address="local",
            num_cpus=workers or len(cores()),
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _check_address(named: str) -> None:
    """Raises InputError where nothing listens at an address; Ray itself would try, and print, for minutes."""
    host, colon, port = named.rpartition("://")[2].rpartition(":")
    if not (colon and port.isdecimal()):  # ``local`` and the like, which Ray knows
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"RAY_ADDRESS={named}: no cluster answers there: {error}") from None


class RayTask:
    """A task that starts workers.

    Args:
        name: of its slot.
        result: the future result of ``run_worker`` or ``run_rank``.
    """

    def __init__(self, name: str, result: "ray.ObjectRef[Any]") -> None:
        self._name, self._result = name, result
        self._deadline = 0.0

    @property
    def ended(self) -> bool:
        """Whether the task has ended, for whatever reason."""
        done, _ = ray.wait([self._result], timeout=0)
        return bool(done)

    def error(self) -> WorkerError | None:
        """The error that ended the task before its work was done; None if it was done or cancelled."""
        try:
            error: WorkerError | None = ray.get(self._result)
        except ray.exceptions.TaskCancelledError:
            return None
        except ray.exceptions.RayError as failure:
            (*_, last) = str(failure).strip().splitlines()
            killed = not isinstance(failure, ray.exceptions.RayTaskError)
            return WorkerError(f"Ray task {self._name}: {last.strip()}", fatal=False, killed=killed)
        return error

    def note(self, error: WorkerError) -> None:
        """Warns that the task has ended and that another one continues."""
        _LOG.warning("%s; another one goes on", error.message)

    def terminate(self) -> None:
        """Cancels the task: its worker saves its state and ends."""
        self._deadline = time.monotonic() + _GRACE_S
        ray.cancel(self._result)

    def wait(self) -> None:
        """Waits until the task has ended; kills it after its period of grace."""
        done, _ = ray.wait([self._result], timeout=max(0.0, self._deadline - time.monotonic()))
        if not done:
            ray.cancel(self._result, force=True)
