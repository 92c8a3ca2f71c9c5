"""Objects of a storage: created once, read and removed, retried, and addressed by a URL."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sweep.storage.hosts import Failing

from scaling.errors import InputError
from scaling.sweep.storage.objects import Objects
from scaling.sweep.storage.remote import Remote


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


@pytest.mark.usefixtures("patient")
def test_what_fails_for_a_moment_is_tried_again_and_reported_once(
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


@pytest.mark.parametrize(
    ("url", "violation"),
    [
        ("ftp://host/x", "shared storage is gs://, s3:// or file:///"),
        ("gs:///x", "names no bucket"),
        ("file://host/x", "an absolute path"),
        ("file:///", "an absolute path"),
        ("gs://bucket/a/../b", "without"),
        ("gs://bucket/a?b", "without"),
    ],
)
def test_no_such_storage_is_a_line(url: str, violation: str) -> None:
    with pytest.raises(InputError, match=violation) as error:
        Remote.of(url)
    assert len(error.value.errors) == 1


@pytest.mark.parametrize(("url", "package"), [("gs://bucket/x", "gcsfs"), ("s3://bucket/x", "s3fs")])
def test_a_missing_package_names_the_extra(url: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(InputError, match=r'needs: pip install "scaling-law-toolkit\[cloud\]"'):
        Remote.of(url)
