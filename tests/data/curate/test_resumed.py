"""Curations that are killed and done elsewhere: the bytes are the same."""

import json
import signal
import subprocess
import sys
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from curation.curating import contents, curated, messy, write_jsonl

from scaling.data import sources

CHAIN = {
    "lines": {"seen": 3},
    "rules": ["gopher"],
    "quality": {"like": ["wiki"], "keep": "80%"},
    "near_duplicates": {},
    "contamination": {"held_out": True},
    "private": "mask",
}
# In a process of its own, where jax is not at work: Ray forks, and jax warns of a fork.
ELSEWHERE = """
import json, sys
from pathlib import Path
from scaling.data import sources
from scaling.data.curate.curate import curate
from scaling.data.spec import BuildSpec
from scaling.sweep.executors.registry import find_task_runner
sources.PART_BYTES = 40_000
spec, out, executor = sys.argv[1:]
curate(BuildSpec.model_validate(json.loads(spec)), Path(out), find_task_runner(executor, (), 2), lambda _: None)
"""
KILLED = """
import json, os, signal, sys
from functools import partial
from pathlib import Path
from scaling.data import sources
from scaling.data.curate.curate import curate
from scaling.data.curate.engine.tasks import local_tasks
from scaling.data.spec import BuildSpec
sources.PART_BYTES = 40_000
spec, out, after, workers = sys.argv[1:]
done = 0
def report(progress):
    global done
    done += 1
    if done == int(after):
        os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    curate(BuildSpec.model_validate(json.loads(spec)), Path(out), partial(local_tasks, int(workers)), report)
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sources, "PART_BYTES", 40_000)
    kinds = messy(count=120)
    clean = kinds.pop("clean")
    web = [text for texts in kinds.values() for text in texts] + clean[60:]
    found = [("wiki", clean[:60]), ("web", web)]
    files = [{"path": str(write_jsonl(tmp_path / f"{name}.jsonl", texts)), "name": name} for name, texts in found]
    return {"sources": files, "curate": CHAIN}


@pytest.mark.slow
def test_killed_twenty_times_and_resumed(tmp_path: Path, spec: dict[str, Any]) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    content = json.dumps({"name": "test", **spec})
    curated(tmp_path / "whole", **spec)
    kills = rounds = 0
    while kills < 20:  # a fast machine does more between two kills, and so has more rounds
        out = tmp_path / f"out-{rounds}"
        for attempt in count():
            # Further tasks that are done before the next kill; after the last, all.
            after = 1 + attempt % 3 if kills < 20 else 10**6
            arguments = [content, str(out), str(after), str(1 + attempt % 2)]
            ended = subprocess.run([sys.executable, str(tmp_path / "killed.py"), *arguments], timeout=300)
            if ended.returncode == 0:
                break
            assert ended.returncode == -signal.SIGKILL
            assert not out.exists()
            kills += 1
        assert contents(out) == contents(tmp_path / "whole")
        rounds += 1


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("one_cluster")
@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_another_executor_gives_the_same_bytes(
    tmp_path: Path, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    monkeypatch.setenv("SCALING_SLURM", "local")
    if name == "slurm":  # whose jobs take seconds to begin
        spec["curate"] = {"near_duplicates": {}, "private": "mask"}
    curated(tmp_path / "here", **spec)
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    arguments = [json.dumps({"name": "test", **spec}), str(tmp_path / "there"), name]
    subprocess.run([sys.executable, str(tmp_path / "elsewhere.py"), *arguments], timeout=600, check=True)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
