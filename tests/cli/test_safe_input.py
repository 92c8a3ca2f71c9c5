"""Hostile input: a command refuses it with one line and does nothing, whatever it would lead to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import sweep
from tiny import make_run

from scaling.cli import main
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.expand import PlannedRun

ROOT = Path(__file__).parents[2]
SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
fit: {sizes: [{width: 8, depth: 1}], flops: [2e8, 3e8]}
target: {size: {width: 8, depth: 1}, flops: 1e9}
"""
RUN = PlannedRun(make_run(), "fit")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with nothing but a sweep file."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(SWEEP)
    monkeypatch.chdir(folder)
    return folder


def refusal(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """The one line of a command that refuses its input."""
    with pytest.raises(SystemExit) as exit_info:
        main([str(arg) for arg in args])
    captured = capsys.readouterr()
    assert exit_info.value.code == 2
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    return line


def everything(folder: Path) -> dict[str, bytes | None]:
    """Each path below a folder, with a file's content."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/tmp/x",
        "a/b",
        "..",
        ".x",
        "-x",
        "",
        " ",
        "a\\0b",
        "a\\nb",
        "a\\\\b",
        "~",
        "$HOME",
        "A",
        "x" * 65,
        "é",
    ],
)
def test_a_name_cannot_lead_out_of_the_folder(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "tiny.yaml").write_text(SWEEP.replace("tiny", f'"{name}"'))
    assert "tiny.yaml:1:7: name: " in refusal(capsys, "run", "tiny.yaml")
    assert [path.name for path in here.parent.rglob("*")] == ["here", "tiny.yaml"]


@pytest.mark.parametrize(
    "link",
    ["runs", f"runs/{RUN.id}", f"runs/{RUN.id}/status.json", "logs", "lock", "lock.lease.1", "forks", "runs.parquet"],
)
def test_nothing_is_written_through_a_link(link: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, outside = here / "out", here.parent / "outside"
    SweepFolder(out).prepare({"name": "tiny"}, SWEEP, [RUN])
    outside.mkdir()
    (outside / "kept").write_text("kept")
    place = out / link
    if place.exists():
        place.rename(outside / "moved")
    place.symlink_to(outside / "moved")
    before = everything(here.parent)
    for command in (("run", "tiny.yaml", "--out", "out"), ("report", "out")):
        assert f"out/{link}: a link that leads out of the sweep's folder" in refusal(capsys, *command)
    assert everything(here.parent) == before


@pytest.mark.parametrize("run_id", ["../../x", "/tmp/x", "..", "", "0" * 13, "ABCDEF012345", "a\0b", 1, None])
@pytest.mark.parametrize("command", [("status", "out"), ("report", "out"), ("run", "tiny.yaml", "--out", "out")])
def test_a_plan_cannot_name_other_folders(
    run_id: object, command: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = here / "out"
    SweepFolder(out).prepare({"name": "tiny"}, SWEEP, [RUN])
    plan = {"sweep": {"name": "tiny"}, "runs": [{"id": run_id, "role": "fit"}]}
    (out / "plan.json").write_text(json.dumps(plan))
    assert "plan.json: unreadable: not a planned run" in refusal(capsys, *command)
    assert [path.name for path in here.parent.iterdir()] == ["here"]


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('touch pwned')",
        "@pd.io.common.os.system('touch pwned') == 0",
        "loss.map(print) > 0",
        "loss.__class__ == 1",
        "`loss`.map > 0",
        "`loss > 0",
        "[x for x in (1,)] == loss",
        "(lambda: 1)() < loss",
        "f'{loss}' == 'x'",
        "loss[0] > 1",
        "loss if 1 else 0",
        "(loss := 3) > 0",
        "9 ** 9 ** 9 ** 9 > loss",
        "loss > 0; import os",
        "-" * 100_000 + "1 < loss",
        "(" * 100_000,
        "not " * 100_000 + "loss > 0",
        "loss > 0\0",
        "'\ud800' == corpus.x",
    ],
)
def test_a_filter_is_never_executed(expression: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep().to_parquet("runs.parquet")
    before = everything(here)
    assert "--where" in refusal(capsys, "fit", "runs.parquet", "--where", expression)
    assert everything(here) == before


@pytest.mark.parametrize(
    "columns",
    [
        "__import__('os').system('touch pwned')",
        "params=__import__('os')",
        "params=@x",
        "__class__=loss",
        "params=`loss`",
    ],
)
def test_columns_are_names_and_nothing_else(columns: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep().to_parquet("runs.parquet")
    before = everything(here)
    refusal(capsys, "fit", "runs.parquet", "--columns", columns)
    assert everything(here) == before


def bombs() -> dict[str, str]:
    """Sweep files that are small or simple, and endless to whoever follows them."""
    billion = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    billion += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
    digits = "9" * 1_000_000
    return {
        "billion laughs": billion + SWEEP,
        "itself": "x: &a {y: *a}\n" + SWEEP,
        "merged into itself": "<<: &a {<<: *a}\n" + SWEEP,
        "deep lists": "name: " + "[" * 500_000,
        "deep mappings": "x: " + "{a: " * 200_000,
        "deep blocks": "".join(" " * depth + "a:\n" for depth in range(1000)),
        "dashes": "- " * 500_000,
        "many keys": SWEEP + "".join(f"k{n}: 1\n" for n in range(60_000)),
        "many lines": "a\n" * 100_000,
        "long number": SWEEP.replace("2e8", digits),
        "long exponent": SWEEP.replace("2e8", f"1e{digits}"),
        "overflow": SWEEP.replace("2e8", "1e999999"),
        "nan": SWEEP.replace("2e8", ".nan"),
        "inf": SWEEP.replace("2e8", "-.inf"),
        "endless seeds": SWEEP.replace("2e8, 3e8]", "2e8], seeds: 1e15"),
        "a version": f"%YAML {digits}.1\n---\n" + SWEEP,
        "a character": SWEEP + 'x: "\\UFFFFFFFF"\n',
        "an object": SWEEP.replace("tiny", "!!python/object/apply:os.system ['touch pwned']"),
        "a module": "!!python/module:os\n" + SWEEP + "x: 1\n",
    }


@pytest.mark.slow
def test_no_sweep_file_takes_long_or_much_memory(here: Path) -> None:
    """All in one process, whose memory is measured; the 100 MB of digits are the last, and are not even read."""
    files = []
    for name, text in bombs().items():
        (here / f"{name}.yaml").write_text(text)
        files.append(f"{name}.yaml")
    (here / "100 MB.yaml").write_text("name: ")
    with open(here / "100 MB.yaml", "ab") as file:
        file.writelines(b"9" * 10**6 for _ in range(100))
    code = """
import json, resource, sys
from scaling.errors import InputError
from scaling.sweep.spec.sweep_file import load_sweep
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, reported = peak(), {}
for name in sys.argv[1:]:
    try:
        load_sweep(name)
        reported[name] = []
    except InputError as error:
        reported[name] = error.errors
print(json.dumps([reported, peak() - before]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *files, "100 MB.yaml"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    reported, mebibytes = json.loads(done.stdout)
    # A foreign tag is one violation, and what it stands for another.
    expected = dict.fromkeys([*files, "100 MB.yaml"], 1) | {"an object.yaml": 2, "a module.yaml": 2}
    assert {name: len(violations) for name, violations in reported.items()} == expected
    lines = [violation for violations in reported.values() for violation in violations]
    assert all(len(line) < 300 and len(line.splitlines()) == 1 for line in lines)
    assert mebibytes < 200
    assert not (here / "pwned").exists()


def test_an_error_cannot_write_to_the_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "tiny.yaml").write_text(
        SWEEP.replace("tiny", '"\\e]0;title\\a\\e[2J"').replace("sotu", '{path: "\\u202Ex\\r"}')
    )
    line = refusal(capsys, "plan", "tiny.yaml")
    assert line.isprintable()
    assert "\\x1b]0;title" in line


def test_a_path_that_cannot_be_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "File name too long" in refusal(capsys, "fit", "x" * 5000)


def test_workers_import_nothing_from_the_working_directory(here: Path) -> None:
    """As an installed command starts them; a module there could be anybody's."""
    (here / "json.py").write_text("open('pwned', 'w')\n")
    code = (
        "import os, subprocess, sys\nfrom scaling.cli import cli, main\n"
        "worker = [sys.executable, '-m', 'scaling', 'models']\n"
        "cli.main = lambda **_: subprocess.run(worker, check=True).returncode\n"
        "before = dict(os.environ)\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "assert os.environ == before\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (here / "pwned").exists()
