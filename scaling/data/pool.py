"""Processes of this machine that do independent work for data: builds and curations."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def spawned_pool(workers: int) -> Iterator[Callable[[Callable[[_Item], Any], Sequence[_Item]], Iterator[Any]]]:
    """A pool of processes with a thread each, as sums over several threads depend on their number.

    Yields:
        what applies a function to items in the processes, and yields results as they come.
    """
    # Spawned, not forked: the parent may have threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(os.getpid(),))

    def each(function: Callable[[_Item], Any], items: Sequence[_Item]) -> Iterator[Any]:
        queue = iter(items)
        with one_thread():
            waiting: set[Future[Any]] = {pool.submit(function, item) for item in islice(queue, 2 * workers)}
        while waiting:
            future = next(as_completed(waiting))
            waiting.remove(future)
            yield future.result()
            with one_thread():
                waiting |= {pool.submit(function, item) for item in islice(queue, 1)}

    try:
        yield each
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that begin within have one thread for algebra and for tokenizers."""
    before = {name: os.environ.get(name) for name in (*_THREADS, "TOKENIZERS_PARALLELISM")}
    os.environ.update(dict.fromkeys(_THREADS, "1") | {"TOKENIZERS_PARALLELISM": "false"})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin_worker(parent: int) -> None:
    """Sets up a process that exits when its parent has gone, and without a word at Ctrl-C, of which that one tells."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
