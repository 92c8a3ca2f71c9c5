"""A rank of a process group, ``python -m scaling.sweep.workers.rank_worker FOLDER ROLE``: all train one run together.

Rank 0 works as a worker does, and broadcasts which runs it trains next. The others take the same steps on their own
devices, and write nothing but their shards of a checkpoint.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jax.experimental.multihost_utils import broadcast_one_to_all

from scaling.errors import InputError
from scaling.llama.sharding import Execution
from scaling.sweep.folder.jobs import jobs
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import use_compile_cache
from scaling.sweep.host.rank import rank_from_jax
from scaling.sweep.spec.arrangement import arrangement_of
from scaling.sweep.workers.job_training import execution_of
from scaling.sweep.workers.trainers import Trainer, trainer_for
from scaling.sweep.workers.worker import Worker
from scaling.train.stop import STOPPED_EXIT, Stopped, stopping_on_signals

# Rank 0 may have to read a corpus, or to fit, before it starts.
_CONNECT_S = 900


def broadcast_runs(runs: Sequence[str]) -> None:
    """Sends the other ranks the ids of the runs to train next; no ids mean the end."""
    text = np.frombuffer(json.dumps(list(runs)).encode(), np.uint8)
    broadcast_one_to_all(np.int32(len(text)))
    broadcast_one_to_all(text)


def receive_runs() -> list[str]:
    """Receives the ids of the runs to train next from rank 0."""
    text = np.zeros(int(broadcast_one_to_all(np.int32(0))), np.uint8)
    runs: list[str] = json.loads(bytes(broadcast_one_to_all(text)))
    return runs


def follow_rank_0(sweep: SweepFolder, execution: Execution) -> None:
    """Trains the runs of rank 0 together with it until it has no more."""
    trainer: Trainer | None = None
    while runs := receive_runs():
        configs = [sweep.run(run_id).config() for run_id in runs]
        trainer = trainer or trainer_for(sweep, configs[0], execution)
        (job,) = jobs(sweep, configs)
        trainer.follow(job, configs)


def main(folder: str, role: str) -> None:
    """Joins the process group and trains as one of its ranks."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    use_compile_cache()
    rank = rank_from_jax()
    if rank is not None:
        jax.distributed.initialize(
            num_processes=rank.count,
            process_id=rank.index,
            # Under Slurm JAX would look up which devices are ours: all that this process sees are.
            cluster_detection_method="deactivate",
            initialization_timeout=_CONNECT_S,
        )
    else:
        jax.distributed.initialize(initialization_timeout=_CONNECT_S)
    sweep = SweepFolder(Path(folder))
    execution = execution_of(arrangement_of(sweep.sweep()))
    if jax.process_index() == 0:
        runs = sweep.runs(role)
        if runs:
            trainer = trainer_for(sweep, sweep.run(runs[0]).config(), execution)
            Worker(sweep, trainer, announce=broadcast_runs).work(role)
        broadcast_runs(())
    else:
        follow_rank_0(sweep, execution)
    jax.distributed.shutdown()


if __name__ == "__main__":
    try:
        with stopping_on_signals():
            main(*sys.argv[1:])
    except InputError as error:
        print("\n".join(error.errors), file=sys.stderr, flush=True)
        os._exit(2)  # the others are not to be waited for
    except Stopped:
        os._exit(STOPPED_EXIT)
    except Exception:  # printed in full; a usual exit would have JAX wait for ranks that have died
        traceback.print_exc()
        os._exit(1)
