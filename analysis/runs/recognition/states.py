"""The states of runs in the words of those who keep them: this project, W&B, MLflow, Slurm, Ray, Hugging Face jobs."""

import re

import numpy as np
import pandas as pd
from jaxtyping import Bool

DIVERGED = frozenset(["diverged", "divergence", "nan"])
_FINISHED = frozenset(
    ["done", "finished", "complete", "completed", "success", "succeeded", "successful", "ok", "terminated", "cd"]
)
_UNFINISHED = frozenset(
    [
        *("crashed", "failed", "failure", "killed", "preempted", "error", "errored", "lost", "deleted", "revoked"),
        *("cancelled", "canceled", "aborted", "interrupted", "stopped", "timeout", "timed_out", "deadline"),
        *("node_fail", "boot_fail", "out_of_memory", "oom", "incomplete", "unfinished"),
        *("running", "preempting", "stopping", "completing", "in_progress", "inprogress", "active", "resizing"),
        *("pending", "planned", "scheduled", "queued", "waiting", "paused", "suspended", "requeued", "configuring"),
        *("starting", "started", "created", "initialized", "initializing", "new"),
    ]
)
# Slurm's short forms, beside cd.
_SHORT = frozenset(["f", "ca", "to", "nf", "pr", "pd", "r", "s", "bf", "dl"])
# Words of other things as well.
_COMMON = frozenset(["ok", "new", "active", "created", "started", "deadline", "lost", "cd", *_SHORT])
# Names, as ``normalised`` gives them, of a column that may hold states.
STATE_COLUMNS = ("state", "run_state", "run_status", "job_state", "job_status", "trial_status", "final_state")
# Names of a column that says yes or no of each run, and the state of a run of which it says so.
_FLAGS = {
    **{f"{before}{word}": "finished" for before in ("", "is_", "run_") for word in ("finished", "done", "completed")},
    **{f"{before}{word}": "finished" for before in ("", "is_") for word in ("complete", "success", "succeeded")},
    **{
        f"{before}{word}": word
        for before in ("", "is_", "has_")
        for word in ("crashed", "failed", "diverged", "killed", "oom")
    },
}
_YES = frozenset(["true", "yes", "y", "t", "1", "1.0", "\u2713", "\u2714", "\u2705"])
_NO = frozenset(["false", "no", "n", "f", "0", "0.0", "\u2717", "\u2718", "\u274c"])
# Names of a column of exit codes; Slurm's are pairs of a code and a signal.
_EXIT_CODES = frozenset(["exit_code", "exitcode", "exit_status", "return_code", "returncode"])
_EXIT_CODE = re.compile(r"(\d{1,3})(?:\.0|:(\d{1,2}))?")
FLAGS = (*_FLAGS, *_EXIT_CODES)

_SAMPLE, _MOST_STATES = 1000, 100


def words(states: pd.Series) -> pd.Series:
    """States as this module lists them, of any spelling: Slurm writes ``CANCELLED by 1000``; missing ones are empty."""
    texts = states.astype(object).where(states.notna(), "").astype("str").str.strip().str.lower()
    known = {text: _word(text) for text in texts.unique()}
    return texts.map(known)


def finished(frame: pd.DataFrame) -> Bool[np.ndarray, " rows"]:
    """Mask (rows,) of the rows whose run has finished; rows and tables without a state count as finished."""
    if "status" not in frame:
        return np.ones(len(frame), bool)
    return words(frame["status"]).isin({"", *_FINISHED}).to_numpy(bool)


def are_states(values: pd.Series) -> bool:
    """Whether a column holds states of runs and nothing else."""
    if pd.api.types.is_numeric_dtype(values.dtype) or values[:_SAMPLE].astype("str").nunique() > _MOST_STATES:
        return False
    found = set(words(values).unique()) - {""}
    return bool(found - _SHORT) and found <= _FINISHED | _UNFINISHED | _SHORT | DIVERGED


def tell_apart(values: pd.Series) -> bool:
    """Whether a column, whatever its name, tells finished runs from others in known words."""
    if not are_states(values):
        return False
    found = set(words(values).unique()) - {""}
    return bool(found & _FINISHED - _COMMON) and bool(found - _FINISHED - _COMMON)


def states_of(name: str, values: pd.Series) -> pd.Series | None:
    """States of a column of truth values or exit codes, by its normalised name; None if it holds none.

    Those of a column without a run that failed say nothing.
    """
    if name not in FLAGS:
        return None
    given = values[values.notna()]
    texts = given.astype("str").str.strip().str.lower()
    if name in _FLAGS and texts.isin(_YES | _NO).all():
        yes = _FLAGS[name]
        no = "unfinished" if yes == "finished" else "finished"
        found = texts.isin(_YES).map({True: yes, False: no})
        if yes == "finished" and len(found) < len(values):  # a run that goes on has not said so yet
            found = found.reindex(values.index, fill_value=no)
    elif name in _EXIT_CODES and (codes := texts.str.fullmatch(_EXIT_CODE)).all() and len(codes):
        ended = texts.str.extract(_EXIT_CODE).fillna("0").isin(["0"]).all(axis=1)
        found = ended.map({True: "finished", False: "failed"})
    else:
        return None
    return found.reindex(values.index) if (found != "finished").any() else None


def without_result(cells: pd.Series) -> Bool[np.ndarray, " rows"]:
    """Mask (rows,) of the cells that say, in a loss's place, why there is none: ``OOM``, ``diverged``."""
    return words(cells).isin(_UNFINISHED | DIVERGED).to_numpy(bool)


def unknown(states: pd.Series) -> Bool[np.ndarray, " rows"]:
    """Mask (rows,) of the states whose word is none that this module lists."""
    return ~words(states).isin({"", *_FINISHED, *_UNFINISHED, *_SHORT, *DIVERGED}).to_numpy(bool)


def _word(text: str) -> str:
    text = re.sub(r"\s+by\s+\S+$", "", text).rstrip("+").strip()
    return re.sub(r"[\s-]+", "_", text.rpartition(".")[2])  # Python's enums: RunStatus.FINISHED
