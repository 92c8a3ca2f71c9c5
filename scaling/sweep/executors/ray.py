"""Workers on a Ray cluster: one that runs already, or one of this machine alone, started for the purpose."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from scaling.errors import InputError
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import cores
from scaling.sweep.host.processes import Place
from scaling.sweep.spec.arrangement import refuse_uneven
from scaling.sweep.workers.pool import Crew, Fault, Team
from scaling.sweep.workers.serve import serve, serve_along

# Read by Ray when it is imported: nothing is sent anywhere; a task without a GPU leaves the variables of GPUs alone.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import ray.exceptions
from ray.util import get_node_ip_address, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

# Of a task whose process or node has died; when they are used up the crew starts another task.
_RETRIES = 3
# A worker has 25 s to save its state.
_GRACE_S = 30.0
_KNOCK_S = 10.0
# Nothing but the arguments of tasks passes through the object store; this is about the least that it can be.
_STORE_BYTES = 100 * 2**20
_LOG = logging.getLogger(__name__)


@contextmanager
def ray_tasks(sweep: SweepFolder, role: str, workers: int | None, devices: int | None) -> Iterator[Crew]:
    """Tasks of one CPU each, or of one GPU each where the cluster has GPUs; an ``Executor``.

    A mesh has one team of tasks. Where there are GPUs, each has its share of them on one node.

    All nodes must have the toolkit installed, and see the sweep's folder under the same path.
    """
    if workers is not None and devices is not None:
        refuse_uneven(workers, devices)
    # Ray prints on stdout what befalls its processes; that is kept for results.
    with redirect_stdout(sys.stderr):
        _connect(workers or devices)
        try:
            crew = _crew(sweep, role, workers) if devices is None else _team(sweep, role, workers, devices)
            try:
                yield crew
            finally:
                crew.stop()
        finally:
            ray.shutdown()


def _crew(sweep: SweepFolder, role: str, workers: int | None) -> Crew:
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    task = ray.remote(serve).options(num_cpus=1, num_gpus=min(gpus, 1), max_retries=_RETRIES)
    folder, directory = str(sweep.path.resolve()), str(Path.cwd())

    def start(empty: Sequence[int]) -> list[RayTask]:
        return [RayTask(f"{role}-{index}", task.remote(folder, role, index, directory)) for index in empty]

    return Crew(workers or gpus or max(1, int(resources.get("CPU", 1))), start)


def _team(sweep: SweepFolder, role: str, workers: int | None, devices: int) -> Crew:
    count, share = share_of_mesh(workers, devices)
    resources = {"num_cpus": 1, "num_gpus": share.get("GPU", 0), "max_retries": 0}  # one alone is of no use
    group = placement_group([{"CPU": 1, **share}] * count, strategy="SPREAD")
    bundles = [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index) for index in range(count)]
    folder, directory = str(sweep.path.resolve()), str(Path.cwd())

    def start(_: Sequence[int]) -> list[Team]:
        coordinator = ray.remote(_free_address).options(num_cpus=1, scheduling_strategy=bundles[0]).remote()
        members = [
            ray.remote(serve_along)
            .options(**resources, scheduling_strategy=bundle)
            .remote(folder, role, directory, Place(index, count), coordinator)
            for index, bundle in enumerate(bundles)
        ]
        return [Team([RayTask(f"{role}-{index}", member) for index, member in enumerate(members)])]

    return Crew(1, start)


def share_of_mesh(workers: int | None, devices: int) -> tuple[int, dict[str, int]]:
    """How many processes train a mesh, and what each needs of its node: its share of the GPUs, or else a CPU.

    Args:
        workers: so many, which divide the devices; None for as few as the GPUs of a node allow.
        devices: of the mesh.

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
            f"--executor ray: the mesh (of {devices} devices) needs {count} times {each} {kind} of one node; "
            f"the nodes of the cluster have {found}"
        )
    return count, {kind: each}


def _free_address() -> str:
    """Of this node, for the first of a team to listen at."""
    with socket.socket() as free:
        free.bind(("", 0))
        return f"{get_node_ip_address()}:{free.getsockname()[1]}"


def _connect(workers: int | None) -> None:
    """To the cluster that RAY_ADDRESS names or that runs on this machine, or else to one that is started here.

    Raises:
        InputError: no cluster answers at RAY_ADDRESS.
    """
    if named := os.environ.get("RAY_ADDRESS"):
        _knock(named)
    # Ray puts its own in their place.
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


def _knock(named: str) -> None:
    """InputError where nobody listens at an address; Ray itself would try for minutes, and not quietly."""
    host, colon, port = named.rpartition("://")[2].rpartition(":")
    if not (colon and port.isdecimal()):  # ``local`` and the like, which Ray knows
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"RAY_ADDRESS={named}: no cluster answers there: {error}") from None


class RayTask:
    """A task that starts workers.

    Args:
        name: of its seat.
        result: of ``serve`` or ``serve_along``, once it has one.
    """

    def __init__(self, name: str, result: "ray.ObjectRef[Any]") -> None:
        self._name, self._result = name, result
        self._deadline = 0.0

    @property
    def ended(self) -> bool:
        done, _ = ray.wait([self._result], timeout=0)
        return bool(done)

    def fault(self) -> Fault | None:
        try:
            fault: Fault | None = ray.get(self._result)
        except ray.exceptions.TaskCancelledError:
            return None
        except ray.exceptions.RayError as error:
            (*_, last) = str(error).strip().splitlines()
            killed = not isinstance(error, ray.exceptions.RayTaskError)
            return Fault(f"Ray task {self._name}: {last.strip()}", fatal=False, killed=killed)
        return fault

    def note(self, fault: Fault) -> None:
        _LOG.warning("%s; another one goes on", fault.told)

    def terminate(self) -> None:
        self._deadline = time.monotonic() + _GRACE_S
        ray.cancel(self._result)

    def wait(self) -> None:
        done, _ = ray.wait([self._result], timeout=max(0.0, self._deadline - time.monotonic()))
        if not done:
            ray.cancel(self._result, force=True)
