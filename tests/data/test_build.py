"""Building data: what is in the shards, what is held out, what a crash leaves, and what is refused."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling.cli import main
from scaling.data import sources
from scaling.data.build import BuildProgress, build
from scaling.data.building.leaks import near_duplicates, text_signature, token_signature
from scaling.data.building.part import is_held_out
from scaling.data.shards import (
    Manifest,
    held_out_segments,
    is_built,
    map_ids,
    read_lengths,
    read_manifest,
    train_segments,
    verify,
)
from scaling.data.spec import BuildSpec
from scaling.errors import InputError

TEXTS = [f"document {i}: {' '.join(str(i * j) for j in range(3 + i % 17))}" for i in range(300)]


def write(path: Path, texts: list[str], key: str = "text") -> Path:
    path.write_text("".join(json.dumps({key: text}) + "\n" for text in texts))
    return path


def built(out: Path, workers: int = 1, **spec: Any) -> Manifest:
    return build(BuildSpec.model_validate({"name": "test", **spec}), out, workers, lambda _: None)


def texts_of(folder: Path, split: str) -> list[bytes]:
    manifest = read_manifest(folder)
    found = []
    for shard in manifest.of("train" if split == "train" else "held_out"):
        ids = map_ids(folder, shard, manifest.dtype)
        ends = np.cumsum(read_lengths(folder, shard))
        assert (ids[ends - 1] == manifest.tokenizer.end).all()
        found += [bytes(part[:-1].tolist()) for part in np.split(ids, ends[:-1])]
    return found


def contents(folder: Path) -> dict[str, str]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_every_distinct_document_is_on_the_side_of_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PART_BYTES", 3000)
    path = write(tmp_path / "a.jsonl", [*TEXTS, "", *TEXTS[:40], TEXTS[0]])
    manifest = built(tmp_path / "out", sources=[str(path)], held_out="10%")
    wanted = {
        split: [text for text in TEXTS if is_held_out(hashlib.sha256(text.encode()).digest(), 0.1) == side]
        for split, side in (("train", False), ("held_out", True))
    }
    for split, texts in wanted.items():
        assert [text.decode() for text in texts_of(tmp_path / "out", split)] == texts
    assert 15 < len(wanted["held_out"]) < 45
    assert (manifest.duplicates, manifest.empty, manifest.documents) == (41, 1, 300)
    assert manifest.bytes("train") == sum(map(len, wanted["train"]))
    assert manifest.tokens("train") == manifest.bytes("train") + len(wanted["train"])
    assert len(manifest.of("train")) > 3
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.jsonl", "out"]


def test_the_split_of_a_document_does_not_depend_on_the_others(tmp_path: Path) -> None:
    built(tmp_path / "few", sources=[str(write(tmp_path / "a.jsonl", TEXTS[:150]))], held_out=0.1)
    built(tmp_path / "many", sources=[str(write(tmp_path / "b.jsonl", TEXTS[::-1]))], held_out=0.1)
    few = set(texts_of(tmp_path / "few", "held_out"))
    assert few
    assert few == set(texts_of(tmp_path / "many", "held_out")) & {text.encode() for text in TEXTS[:150]}


def test_processes_do_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PART_BYTES", 4000)
    path, reported = write(tmp_path / "a.jsonl", TEXTS), []
    spec = BuildSpec.model_validate({"name": "x", "sources": [str(path)], "tokenizer": {"bpe": 280}})
    one = build(spec, tmp_path / "one", 1, reported.append)
    two = build(spec, tmp_path / "two", 2, lambda _: None)
    assert one == two
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert isinstance(reported[-1], BuildProgress)
    assert (reported[0].parts_done, reported[-1].parts_done) == (0, reported[-1].parts)
    assert reported[-1].tokens == one.tokens("train") + one.tokens("held_out")


KILLED = """
import os, signal, sys
from pathlib import Path
from scaling.data import build, sources
from scaling.data.building import joining
from scaling.data.spec import BuildSpec
sources.PART_BYTES = 2000
path, out, after, workers = sys.argv[1:]
def end(*_):
    os.kill(os.getpid(), signal.SIGKILL)
def report(progress):
    if after.isdecimal() and progress.parts_done >= int(after):
        end()
if after == "joining":
    joining.near_duplicates = end
spec = BuildSpec.model_validate({"name": "x", "sources": [path], "tokenizer": {"bpe": 280}})
if __name__ == "__main__":
    build.build(spec, Path(out), int(workers), report)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("after", "workers"), [("0", 1), ("3", 1), ("4", 2), ("joining", 1)])
def test_killed_and_built_again_gives_the_same_bytes(tmp_path: Path, after: str, workers: int) -> None:
    path = write(tmp_path / "a.jsonl", [*TEXTS, *TEXTS[:50]])
    (tmp_path / "killed.py").write_text(KILLED)

    def run(out: str, after: str) -> int:
        arguments = [str(path), str(tmp_path / out), after, str(workers)]
        return subprocess.run([sys.executable, str(tmp_path / "killed.py"), *arguments], timeout=120).returncode

    assert run("out", after) == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    done = list((tmp_path / ".out.building/parts").glob("*.documents.npy"))
    assert len(done) >= (int(after) if after.isdecimal() else 10)
    assert run("out", "never") == 0
    assert run("whole", "never") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not list(tmp_path.glob(".*"))


def test_what_is_done_is_kept_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PART_BYTES", 4000)
    spec = BuildSpec.model_validate({"name": "x", "sources": [str(write(tmp_path / "a.jsonl", TEXTS))]})
    whole = build(spec, tmp_path / "whole", 1, lambda _: None)

    def stop(progress: BuildProgress) -> None:
        if progress.parts_done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(spec, tmp_path / "out", 1, stop)
    other = BuildSpec.model_validate({"name": "y", "sources": [str(tmp_path / "a.jsonl")]})
    reported: list[BuildProgress] = []
    assert build(spec, tmp_path / "out", 1, reported.append) == whole
    assert reported[0].parts_done == 3
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    again: list[BuildProgress] = []
    assert build(spec, tmp_path / "out", 1, again.append) == whole
    assert again == []
    with pytest.raises(InputError, match="is there already, and is not this spec's data"):
        build(other, tmp_path / "out", 1, lambda _: None)


def test_weights_and_epochs_decide_the_mixture(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.jsonl", TEXTS[:200]), write(tmp_path / "b.jsonl", TEXTS[200:])

    def shares(**of_b: Any) -> tuple[list[float], int]:
        first = {"path": str(a), **({"weight": "75%"} if "weight" in of_b else {})}
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        manifest = built(out, sources=[first, {"path": str(b), **of_b}])
        train = train_segments(out, manifest)
        assert train.ends[-1] == len(train)
        assert train.counts(256).sum() == len(train)
        return manifest.shares, len(train)

    plain, tokens = shares()
    assert plain == [1.0, 1.0]
    twice, more = shares(epochs=2.5)
    assert twice == [1.0, 2.5]
    assert more > tokens
    weighed, mixed = shares(weight=0.25)
    assert max(weighed) == pytest.approx(1.0)
    manifest = read_manifest(next(tmp_path.glob("out*")))
    held = [manifest.tokens("train", number) for number in range(2)]
    assert weighed[0] * held[0] == pytest.approx(3 * weighed[1] * held[1])
    assert mixed == pytest.approx(weighed[0] * held[0] + weighed[1] * held[1], abs=2)


def test_windows_across_shards_are_those_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PART_BYTES", 500)
    out = tmp_path / "out"
    manifest = built(out, sources=[str(write(tmp_path / "a.jsonl", TEXTS))], held_out="30%")
    for text in (train_segments(out, manifest), held_out_segments(out, manifest)):
        whole = np.concatenate(text.parts)
        starts = np.random.default_rng(0).integers(len(whole) - 700, size=(20, 3))
        np.testing.assert_array_equal(text.windows(starts, 700), whole[starts[..., None] + np.arange(700)])
        np.testing.assert_array_equal(text.counts(256), np.bincount(whole, minlength=256))
        assert text.ends[-1] == len(text) == len(whole)
    assert (whole[text.ends - 1] == 0).all(), "held-out documents end where they end"


def test_a_split_that_others_made_is_kept_and_what_is_on_both_sides_is_not_trained_on(tmp_path: Path) -> None:
    train, valid = write(tmp_path / "a.jsonl", TEXTS[:200]), write(tmp_path / "b.jsonl", TEXTS[190:])
    manifest = built(
        tmp_path / "out", sources=[{"path": str(train), "only": "train"}, {"path": str(valid), "only": "held_out"}]
    )
    assert [text.decode() for text in texts_of(tmp_path / "out", "train")] == TEXTS[:190]
    assert [text.decode() for text in texts_of(tmp_path / "out", "held_out")] == TEXTS[190:]
    assert manifest.duplicates == 10


def test_near_duplicates_across_the_split_are_counted(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    words = [[f"w{word}" for word in random.integers(5000, size=200)] for _ in range(40)]
    train = [" ".join(text) for text in words]
    near = [" ".join([*text[:100], "changed", *text[101:]]).upper() for text in words[:7]]
    other = [" ".join(f"w{word}" for word in random.integers(5000, size=200)) for _ in range(20)]
    manifest = built(
        tmp_path / "out",
        sources=[
            {"path": str(write(tmp_path / "a.jsonl", train)), "only": "train"},
            {"path": str(write(tmp_path / "b.jsonl", near + other)), "only": "held_out"},
        ],
    )
    assert manifest.leaks == 7
    assert manifest.duplicates == 0


def test_signatures_estimate_similarity() -> None:
    random = np.random.default_rng(1)
    one = random.integers(2**16, size=60_000)
    for changed, low, high in ((0, 1.0, 1.0), (50, 0.9, 1.0), (30_000, 0.0, 0.2)):
        other = one.copy()
        other[random.permutation(60_000)[:changed]] = 70_000
        alike = (token_signature(one) == token_signature(other)).mean()
        assert low <= alike <= high
    assert (text_signature(b"A  b\nc") == text_signature(b"a b c")).all()
    assert text_signature(b"").shape == text_signature(b"x" * 100_000).shape
    signatures = np.stack([token_signature(one)])
    assert near_duplicates(signatures, signatures).tolist() == [True]
    assert near_duplicates(signatures, signatures[:0]).tolist() == [False]


def test_token_files_have_no_bytes(tmp_path: Path) -> None:
    ids = [token for i in range(400) for token in (*range(1, 3 + i % 40), 300 + i, 0)]
    np.array(ids, np.uint16).tofile(tmp_path / "train.bin")
    manifest = built(
        tmp_path / "out", sources=[str(tmp_path / "train.bin")], tokenizer={"ids": 1000, "end": 0}, held_out=0.1
    )
    assert (manifest.dtype, manifest.documents, manifest.bytes("held_out")) == ("uint16", 400, None)
    assert manifest.tokens("train") + manifest.tokens("held_out") == len(ids)


@pytest.mark.parametrize(
    ("files", "spec", "violation"),
    [
        ({"a.txt": b""}, {}, "the file is empty"),
        ({"a.txt": b"x", "b.txt": os.urandom(3000) + b"\0"}, {}, "b.txt: not "),
        ({"a.txt": b"fine", "b.txt": b"caf\xe9 noir"}, {}, "b.txt: not UTF-8 text: byte 0xe9 at offset 3"),
        ({"a.bin": b"\1\0\2\0\0\0"}, {}, "token ids of another tokenizer"),
        ({"a.bin": b"\1\0\xff\0\0\0"}, {"tokenizer": {"ids": 100, "end": 0}}, "id 255 is beyond the vocabulary of 100"),
        ({"a.txt": b"x"}, {"tokenizer": {"ids": 100, "end": 0}}, "text needs a tokenizer, which"),
        ({"a.txt": b"x"}, {"tokenizer": "none.json"}, "none.json: no such file"),
        ({}, {}, "the sources have no files"),
    ],
)
def test_wrong_data_is_one_line_and_leaves_nothing(
    tmp_path: Path, files: dict[str, bytes], spec: dict[str, Any], violation: str
) -> None:
    (tmp_path / "in").mkdir()
    for name, content in files.items():
        (tmp_path / "in" / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        built(tmp_path / "out", sources=[str(tmp_path / "in")], **spec)
    assert len(error.value.errors) == 1
    assert violation in error.value.errors[0]
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


def test_a_violation_in_another_process_is_the_same_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PART_BYTES", 4000)
    path = write(tmp_path / "a.jsonl", TEXTS)
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(InputError, match=r"^\S*a\.jsonl:301: no key 'text'") as error:
        built(tmp_path / "out", workers=2, sources=[str(path)])
    assert len(error.value.errors) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == [".out.building", "a.jsonl"], "what is done is kept"


@pytest.mark.parametrize(("held_out", "side", "way"), [(1e-9, "held_out", "larger"), (0.999999, "train", "smaller")])
def test_an_empty_side_of_the_split_is_one_line(tmp_path: Path, held_out: float, side: str, way: str) -> None:
    path = write(tmp_path / "a.jsonl", ["one", "two"])
    with pytest.raises(InputError, match=rf"none of 2 documents are in the {side} split; take a {way} held_out"):
        built(tmp_path / "out", sources=[str(path)], held_out=held_out)
    assert built(tmp_path / "out", sources=[str(write(tmp_path / "b.jsonl", TEXTS))]).documents == 300
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "out"]


def damaged(folder: Path, name: str, content: bytes) -> Path:
    file = next(folder.rglob(name))
    file.write_bytes(content)
    return file


def test_damage_is_seen(tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = built(out, sources=[str(write(tmp_path / "a.jsonl", TEXTS))], tokenizer={"bpe": 280})
    assert verify(out, manifest) == []
    shard = next(out.rglob("*.train.bin"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    with pytest.raises(
        InputError, match=r"train\.bin: the shard is cut: \d+ bytes, and the manifest says \d+"
    ) as error:
        read_manifest(out)
    assert len(error.value.errors) == 1
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert [violation.split(": ")[1] for violation in verify(out, read_manifest(out))] == ["damaged"]
    shard.unlink()
    with pytest.raises(InputError, match=r"train\.bin: No such file"):
        read_manifest(out)
    shard.write_bytes(whole)
    text = (out / "manifest.json").read_text()
    for other, violation in ((text.replace('"leaks": 0', '"leaks": 1'), "it has been changed"), (text[:-9], "damaged")):
        (out / "manifest.json").write_text(other)
        with pytest.raises(InputError, match=rf"manifest\.json: damaged.*{violation}|damaged"):
            read_manifest(out)
    assert not is_built(tmp_path)


def test_an_escape_from_the_folder_is_no_shard(tmp_path: Path) -> None:
    built(tmp_path / "out", sources=[str(write(tmp_path / "a.jsonl", TEXTS))])
    path = tmp_path / "out/manifest.json"
    path.write_text(path.read_text().replace("shards/00000.train.bin", "shards/../../a.bin"))
    with pytest.raises(InputError, match="damaged: shards"):
        read_manifest(tmp_path / "out")


def test_the_command_reports_violations_of_its_file_with_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "mix.yaml"
    spec.write_text("sources:\n  - {path: a, weigth: 2}\n  - {path: b, epochs: none}\ntokenizer: {bpe: 12}\n")
    with pytest.raises(SystemExit) as end:
        main(["data", "build", str(spec), "--out", str(tmp_path / "out")])
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert "mix.yaml:2:15: sources.0: unknown key 'weigth'; did you mean 'weight'?" in lines[0]
    assert len(lines) == 3
    assert not (tmp_path / "out").exists()
