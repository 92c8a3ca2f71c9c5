"""Shared storage: two mirrors are two hosts; what one has stored the other goes on with, whatever happens between."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from sweep.workers.test_supervisor import SWEEP, prepare

from scaling.errors import InputError
from scaling.files import append_row
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.locks import leases
from scaling.sweep.plan.corpus_text import load_text, text_of
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.storage import mirror as mirrors
from scaling.sweep.storage import remote as remotes
from scaling.sweep.storage.mirror import Mirror, mirror_for, shared
from scaling.sweep.storage.objects import Bucket, Disk, Objects
from scaling.sweep.storage.remote import Remote
from scaling.sweep.workers.job_training import JobTrainer
from scaling.sweep.workers.worker import Worker
from scaling.train.checkpoints.index import record_step
from scaling.train.stop import Stopped, request_stop, stopping_on_signals

RUN = "runs/0123456789ab"
Host = Callable[[str], Mirror]


@pytest.fixture(params=["disk", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "disk":
        return Disk(tmp_path / "shared")
    return Bucket(fsspec.filesystem("memory"), str(tmp_path).lstrip("/"))


@pytest.fixture(params=["file", "memory"])
def host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Hosts by their names, each with a mirror of the same folder."""
    url = f"file://{tmp_path}/shared" if request.param == "file" else f"memory://{str(tmp_path).lstrip('/')}"

    def named(name: str) -> Mirror:
        monkeypatch.setenv("SCALING_CACHE", str(tmp_path / name))
        return mirror_for(url)

    return named


def run_of(mirror: Mirror) -> RunFolder:
    return SweepFolder(mirror.folder).run(RUN.removeprefix("runs/"))


def checkpoint(run: RunFolder, step: int, content: str) -> None:
    """As Orbax leaves one, as far as files go."""
    (run.checkpoints / str(step) / "state").mkdir(parents=True)
    (run.checkpoints / str(step) / "state" / "array").write_text(content)
    record_step(run.checkpoints, step)


def contents(run: RunFolder) -> dict[str, str]:
    files = (path for path in run.path.rglob("*") if path.is_file())
    return {
        path.relative_to(run.path).as_posix(): path.read_text()
        for path in files
        if not path.name.startswith(".") and path.name != "lock"
    }


def test_an_object_is_made_once_and_changes_its_version(objects: Objects, tmp_path: Path) -> None:
    assert objects.list("") == {}
    objects.write("a/b", b"one")
    objects.write("a/c", b"")
    before = objects.list("a")
    assert before.keys() == {"a/b", "a/c"} == objects.list("").keys()
    objects.write("a/b", b"two")
    assert objects.list("a")["a/b"] != before["a/b"]
    assert objects.list("a")["a/c"] == before["a/c"]
    with pytest.raises(FileExistsError):
        objects.create("a/b", b"three")
    assert objects.read("a/b") == b"two"
    (tmp_path / "here").write_bytes(b"large")
    objects.put(tmp_path / "here", "d")
    objects.get("d", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"large"
    objects.remove("d")
    for missing in (objects.read, objects.remove):
        with pytest.raises(FileNotFoundError):
            missing("d")


def test_of_several_that_create_an_object_one_does(objects: Objects) -> None:
    remote = Remote("memory://x", objects)
    for round in range(20):
        with ThreadPoolExecutor(8) as pool:
            made = pool.map(lambda number, round=round: remote.create(f"x/{round}", b"%d" % number), range(8))
        assert sum(made) == 1


class Failing:
    """Objects whose next calls fail, as a network does."""

    def __init__(self, objects: Objects) -> None:
        self._objects, self.failures = objects, 0
        self.written: list[str] = []

    def _begin(self) -> Objects:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no route to host")
        return self._objects

    def list(self, under: str) -> dict[str, str]:
        return self._begin().list(under)

    def read(self, name: str) -> bytes:
        return self._begin().read(name)

    def write(self, name: str, content: bytes) -> None:
        self._begin().write(name, content)
        self.written.append(name)

    def create(self, name: str, content: bytes) -> None:
        self._begin().create(name, content)

    def remove(self, name: str) -> None:
        self._begin().remove(name)
        self.written.append(f"-{name}")

    def put(self, file: Path, name: str) -> None:
        self._begin().put(file, name)
        self.written.append(name)

    def get(self, name: str, file: Path) -> None:
        self._begin().get(name, file)


def failing(mirror: Mirror) -> Failing:
    """From now on a mirror's network is one that can fail."""
    remote = mirror._remote
    if not isinstance(remote._objects, Failing):
        remote._objects = Failing(remote._objects)
    return remote._objects


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remotes, "_DELAYS_S", (0.0, 0.0))


@pytest.mark.usefixtures("patient")
def test_what_fails_for_a_moment_is_tried_again_and_told_once(
    objects: Objects, caplog: pytest.LogCaptureFixture
) -> None:
    network = Failing(objects)
    remote = Remote("gs://bucket/x", network)
    network.failures = 2
    remote.write("a", b"content")
    assert remote.read("a") == b"content"
    assert [record.getMessage() for record in caplog.records] == [
        "gs://bucket/x: no route to host; it is tried again",
        "gs://bucket/x: can be reached again",
    ]
    network.failures = 3
    with pytest.raises(OSError, match="no route to host"):
        remote.read("a")
    assert network.failures == 0
    with pytest.raises(FileNotFoundError):
        remote.read("b")


def test_a_creation_whose_answer_was_lost_is_ours(objects: Objects) -> None:
    remote = Remote("gs://bucket/x", objects)
    assert remote.create("a", b"ours")
    assert remote.create("a", b"ours")
    assert not remote.create("a", b"theirs")


def test_one_host_at_a_time_has_a_lock(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "LOOK_S", 0.0)
    here, there = host("a"), host("b")
    assert run_of(here).free()
    with run_of(here).locked() as first, run_of(there).locked() as second:
        assert (first, second) == (True, False)
        assert not run_of(there).free()
    assert run_of(there).free()
    with run_of(there).locked() as second:
        assert second


def test_a_host_that_gives_no_sign_of_life_is_taken_over_and_stores_nothing_more(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mirrors, "LOOK_S", 0.0)
    monkeypatch.setattr(leases, "LAPSE_S", 0.3)
    here, there = run_of(host("a")), run_of(host("b"))
    with here.locked():
        here.write_status({"state": "running", "by": "a"})
        while not there.free():  # the first renewal is ten seconds away
            pass
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(leases, "_held", set())  # as in another process
            with there.locked() as taken:
                assert taken
                there.write_status({"state": "done", "by": "b"})
        with pytest.raises(leases.LeaseLost):
            here.finish({"state": "done", "by": "a"})
    assert "is taken over" in caplog.text
    assert "somebody else has taken over" in caplog.text
    with here.locked():
        assert here.status()["by"] == "b"


def test_what_one_host_has_trained_another_goes_on_with(host: Host) -> None:
    here, there = run_of(host("a")), run_of(host("b"))
    with here.locked():
        here.attempt(0)
        for step in (1, 2, 3):
            here.log({"step": step, "loss": 1.0})
        checkpoint(here, 2, "two")
        checkpoint(here, 3, "three")
        here.write_status({"state": "running", "step": 3})
    with there.locked():
        assert contents(there) == contents(here)
        assert there.checkpoints.is_dir()
        there.finish({"state": "done", "step": 4})
    assert contents(there).keys() == {"metrics.jsonl", "status.json"}
    with here.locked():
        assert contents(here) == contents(there)


def test_what_was_not_stored_when_a_process_was_killed_is_kept_unless_others_went_on(host: Host) -> None:
    here, there = run_of(host("a")), run_of(host("b"))
    with here.locked():
        here.log({"step": 1, "loss": 1.0})
        checkpoint(here, 1, "one")
    here.log({"step": 2, "loss": 0.9})  # with no lock held: as if the rest had never come to be stored
    checkpoint(here, 2, "two")
    with here.locked():
        assert [row["step"] for row in here.metrics()] == [1, 2]
        assert (here.checkpoints / "2").exists()
    here.log({"step": 3, "loss": 0.8})
    with there.locked():
        assert [row["step"] for row in there.metrics()] == [1, 2]
        there.log({"step": 3, "loss": 0.7})
        checkpoint(there, 3, "theirs")
    here.log({"step": 4, "loss": 0.6})
    with here.locked():
        assert [(row["step"], row["loss"]) for row in here.metrics()] == [(1, 1.0), (2, 0.9), (3, 0.7)]
        assert (here.checkpoints / "3" / "state" / "array").read_text() == "theirs"


def test_a_copy_that_was_cut_short_is_made_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = run_of(host("a")), run_of(host("b"))
    with here.locked():
        here.log({"step": 1, "loss": 1.0})
        checkpoint(here, 1, "one")
        here.write_status({"state": "running", "step": 1})
    with there.locked():
        there.log({"step": 2, "loss": 1.0})
        checkpoint(there, 2, "two")
    with monkeypatch.context() as patched:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(tarfile, "open", killed)
        with pytest.raises(KeyboardInterrupt), here.locked():
            pass
    with here.locked():
        assert (here.checkpoints / "2" / "state" / "array").read_text() == "two"
        assert contents(here) == contents(there)


def test_a_run_that_has_ended_is_told_after_all_that_belongs_to_it(host: Host) -> None:
    mirror = host("a")
    network, run = failing(mirror), run_of(mirror)
    with run.locked():
        run.log({"step": 1, "loss": 1.0})
        checkpoint(run, 1, "one")
        run.write_status({"state": "running", "step": 1})
    stored = [name.removeprefix(f"{RUN}/") for name in network.written if "lease" not in name]
    assert stored == ["metrics.jsonl", "checkpoints/1.tar", "checkpoints.jsonl", "status.json"]
    network.written.clear()
    with run.locked():
        run.log({"step": 2, "loss": 1.0})
        digest = run.keep({"norm": np.ones(3, np.float32)})
        run.finish({"state": "done", "step": 2, "parameters_sha256": digest})
    stored = [name.replace(f"{RUN}/", "") for name in network.written if "lease" not in name]
    assert stored[:3] == ["parameters.safetensors", "metrics.jsonl", "status.json"]
    assert set(stored[3:]) == {"-checkpoints/1.tar", "-checkpoints.jsonl"}
    there = run_of(host("b"))
    with there.locked():
        np.testing.assert_array_equal(there.parameters()["norm"], np.ones(3))


def test_a_stored_checkpoint_that_is_torn_is_named_and_the_one_before_is_used(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    here = host("a")
    with run_of(here).locked():
        for step in (1, 2):
            checkpoint(run_of(here), step, "x" * 20_000)
    whole = here._remote.read(f"{RUN}/checkpoints/2.tar")
    here._remote.write(f"{RUN}/checkpoints/2.tar", whole[: len(whole) // 2])
    there = run_of(host("b"))
    with there.locked():
        assert [path.name for path in there.checkpoints.iterdir()] == ["1"]
    assert "the checkpoint of step 2 cannot be read" in caplog.text


@pytest.mark.usefixtures("patient")
def test_a_network_that_fails_at_the_end_loses_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mirrors, "LOOK_S", 0.0)
    monkeypatch.setattr(leases, "LAPSE_S", 0.3)
    mirror = host("a")
    network, run = failing(mirror), run_of(mirror)
    with run.locked():
        run.log({"step": 1, "loss": 1.0})
        run.finish({"state": "done", "step": 1})
        network.failures = 1000
    assert "stored by a later call" in caplog.text
    assert not run.free(), "who knows"
    with run.locked() as mine:
        assert not mine
    network.failures = 0
    while not run.free():  # until the lease lapses, which could not be given back
        pass
    mirror.store()
    there = run_of(host("b"))
    with there.locked():
        assert there.status()["state"] == "done"
        assert [row["step"] for row in there.metrics()] == [1]


def test_what_others_train_is_seen_and_what_is_newer_here_is_left(host: Host) -> None:
    watching, there = host("a"), run_of(host("b"))
    with there.locked():
        there.log({"step": 1, "loss": 1.0})
        there.write_status({"state": "running", "step": 1})
        checkpoint(there, 1, "one")
    watching.look()
    seen = run_of(watching)
    assert (seen.status()["state"], len(seen.metrics())) == ("running", 1)
    assert not seen.checkpoints.exists()
    with there.locked():
        there.log({"step": 2, "loss": 1.0})
        there.finish({"state": "done", "step": 2})
    watching.look()
    assert (seen.status()["state"], len(seen.metrics())) == ("done", 2)
    ours = run_of(watching)
    with ours.locked():
        pass
    append_row(ours.path / "metrics.jsonl", {"step": 3, "loss": 1.0})
    watching.look()
    assert len(ours.metrics()) == 3


def planned(mirror: Mirror, *overrides: str) -> SweepFolder:
    spec = parse_sweep(SWEEP, "tiny.yaml", overrides)
    sweep = SweepFolder(mirror.folder)
    with sweep.locked():
        sweep.prepare(spec.canonical(), SWEEP, expand(spec, load_text(spec.corpus)))
    return sweep


def test_a_plan_and_a_forecast_are_everybodys(host: Host) -> None:
    here, there = planned(host("a")), SweepFolder(host("b").folder)
    with here.locked():
        (here.path / "forecast.json").write_text("{}")
    with pytest.raises(InputError, match="no sweep's folder"):
        there.runs()
    with there.locked():
        assert there.runs() == here.runs()
        assert there.run(there.runs()[0]).config() == here.run(here.runs()[0]).config()
        (there.path / "forecast.json").unlink()
        (there.path / "forks" / "1").mkdir(parents=True)
        (there.path / "forks" / "1" / "plan.json").write_text("{}")
    with here.locked():
        assert not (here.path / "forecast.json").exists()
        assert (here.path / "forks" / "1" / "plan.json").exists()


def test_no_name_in_the_storage_leads_out_of_the_mirror(tmp_path: Path, host: Host) -> None:
    mirror = host("a")
    for name in ("../out.json", "runs/../../out/status.json", "runs/x/../../../out.json", "logs/x.json", "lock"):
        if mirror._remote.url.startswith("memory"):
            mirror._remote.write(name, b"{}")
        else:
            with_file = Path(mirror._remote.url.removeprefix("file://")) / name.replace("..", "__")
            with_file.parent.mkdir(parents=True, exist_ok=True)
            with_file.write_bytes(b"{}")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    mirror.fetch()
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert {path.name for path in new} <= {".stored.json"}


def ended(sweep: SweepFolder) -> pd.DataFrame:
    return sweep.table().drop(columns=["wall_s", "mfu"])


@pytest.mark.slow
def test_two_hosts_train_one_sweep_as_one_would(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = prepare(tmp_path / "alone")
    Worker(alone, text_of(alone.run(alone.runs()[0]).config())).work("fit")
    here = planned(host("a"))
    text = text_of(here.run(here.runs()[0]).config())

    train = JobTrainer.train

    def interrupted(*arguments: Any) -> None:
        request_stop()
        train(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(JobTrainer, "train", interrupted)
        with stopping_on_signals(), pytest.raises(Stopped):
            Worker(here, text).work("fit")
    there = host("b")
    there.fetch()
    Worker(SweepFolder(there.folder), text).work("fit")
    pd.testing.assert_frame_equal(ended(SweepFolder(there.folder)), ended(alone))
    mirror_at_a = host("a")
    mirror_at_a.fetch()
    pd.testing.assert_frame_equal(ended(here), ended(alone))
    pd.testing.assert_frame_equal(here.curves(), SweepFolder(there.folder).curves())


def command(host: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A command on a host, in a session of its own; what it finds compiled it shares with the others."""
    environment = {**os.environ, "SCALING_CACHE": str(host), "JAX_PLATFORMS": "cpu"}
    host.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "scaling", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def told(process: "subprocess.Popen[str]") -> dict[str, Any]:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    answer: dict[str, Any] = json.loads(output)
    return answer


def kill_all(process: "subprocess.Popen[str]") -> None:
    """The command and its workers, each of which has a session of its own, at once."""
    tree = [process.pid]
    for pid in tree:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        tree += [int(child) for child in children.read_text().split()] if children.exists() else []
    for pid in tree:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_host_that_is_killed_leaves_everything_to_the_other(tmp_path: Path) -> None:
    url, file = f"file://{tmp_path}/shared", tmp_path / "tiny.yaml"
    file.write_text(SWEEP.replace("[1e8, 2e8]", "[1e8, 3e8, 2e9]").replace("flops: 1e9", "flops: 4e9"))
    alone = told(command(tmp_path / "c", "run", str(file), "--out", str(tmp_path / "alone"), "--json"))
    first, second = (
        command(tmp_path / name, "run", str(file), "--out", url, "--workers", "1", "--json") for name in "ab"
    )
    while not list((tmp_path / "shared" / "runs").glob("*/status.json")):
        assert first.poll() is None
        time.sleep(0.05)
    kill_all(first)
    result = told(second)
    assert result["forecast"]["loss"] == alone["forecast"]["loss"]
    assert result["score"]["actual"] == alone["score"]["actual"]
    tables = [pd.read_parquet(folder / "runs.parquet") for folder in (tmp_path / "alone", tmp_path / "shared")]
    pd.testing.assert_frame_equal(*(table.drop(columns=["wall_s", "mfu"]) for table in tables))
    assert not list((tmp_path / "shared").rglob("checkpoints*"))
    states = told(command(tmp_path / "d", "status", url, "--json"))["runs"]
    assert {run["state"] for run in states} == {"done"}
    assert (tmp_path / "shared" / "report.html").exists()


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("ftp://host/x", "shared storage is gs://, s3:// or file:///"),
        ("gs:///x", "names no bucket"),
        ("file://host/x", "an absolute path"),
        ("file:///", "an absolute path"),
        ("gs://bucket/a/../b", "without"),
        ("gs://bucket/a?b", "without"),
    ],
)
def test_no_such_storage_is_a_line(url: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault) as error:
        Remote.of(url)
    assert len(error.value.errors) == 1


@pytest.mark.parametrize(("url", "package"), [("gs://bucket/x", "gcsfs"), ("s3://bucket/x", "s3fs")])
def test_a_missing_package_names_the_extra(url: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(InputError, match=r'needs: pip install "scaling-law-toolkit\[cloud\]"'):
        Remote.of(url)


@pytest.mark.usefixtures("patient")
def test_storage_that_cannot_be_reached_is_a_line(host: Host) -> None:
    mirror = host("a")
    failing(mirror).failures = 1000
    with pytest.raises(InputError, match="cannot be reached: no route to host"), shared(mirror._remote.url):
        pass
