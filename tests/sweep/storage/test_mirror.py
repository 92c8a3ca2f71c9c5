"""Mirrors of one storage: what one host has stored another continues, whatever happens in between."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from sweep.storage.hosts import RUN, Host, checkpoint, contents, failing, planned, run_of

from scaling.errors import InputError
from scaling.files import append_row
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.locks import leases
from scaling.sweep.storage import mirror as mirrors
from scaling.sweep.storage.mirror import shared


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


def test_a_run_that_has_ended_is_reported_after_all_that_belongs_to_it(host: Host) -> None:
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


@pytest.mark.usefixtures("patient")
def test_storage_that_cannot_be_reached_is_a_line(host: Host) -> None:
    mirror = host("a")
    failing(mirror).failures = 1000
    with pytest.raises(InputError, match="cannot be reached: no route to host"), shared(mirror._remote.url):
        pass
