"""Cores under a quota, and an accelerator only where JAX finds one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaling.sweep.host import machine

EIGHT = list(range(8))


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    machine._accelerator.cache_clear()
    yield
    machine._accelerator.cache_clear()


@pytest.mark.parametrize(
    ("quota", "count"),
    [("max 100000", 8), ("200000 100000", 2), ("350000 100000", 3), ("50000 100000", 1), ("1600000 100000", 8)],
)
def test_no_more_cores_than_the_quota_pays_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, count: int
) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(machine, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(machine, "visible_cores", lambda: EIGHT)
    chosen = machine.cores()
    assert len(chosen) == len(set(chosen)) == count
    assert set(chosen) <= set(EIGHT)


@pytest.mark.parametrize("content", [None, "", "one two three"])
def test_without_a_readable_quota_every_visible_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(machine, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(machine, "visible_cores", lambda: EIGHT)
    assert machine.cores() == EIGHT


def answer(monkeypatch: pytest.MonkeyPatch, stdout: str, code: int = 0) -> list[object]:
    """A plugin is installed, and JAX says this; returns the list that grows with every question."""
    requested: list[object] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        requested.append(command)
        return subprocess.CompletedProcess(command, code, stdout, "")

    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(machine, "_PLUGINS", ("json",))
    monkeypatch.setattr(machine.subprocess, "run", run)
    return requested


@pytest.mark.parametrize(
    ("stdout", "code", "kind"),
    [
        ("gpu\nNVIDIA H100 80GB HBM3\n1\n", 0, "NVIDIA H100 80GB HBM3"),
        ("a banner\ntpu\nTPU v5 lite\n4\n", 0, "TPU v5 lite"),
        ("cpu\ncpu\n1\n", 0, None),
        ("", 1, None),
    ],
)
def test_a_plugin_counts_only_with_its_device(
    monkeypatch: pytest.MonkeyPatch, stdout: str, code: int, kind: str | None
) -> None:
    requested = answer(monkeypatch, stdout, code)
    assert machine.accelerator() == kind
    assert machine.accelerator() == kind
    assert len(requested) == 1, "queried again"


def test_jax_is_not_queried_without_a_plugin_or_where_the_cpu_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    requested = answer(monkeypatch, "gpu\nNVIDIA H100 80GB HBM3\n1\n")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert machine.accelerator() is None
    machine._accelerator.cache_clear()
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(machine, "_PLUGINS", ("no_such_plugin",))
    assert machine.accelerator() is None
    assert requested == []


def test_the_tpu_compiler_alone_is_no_tpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    requested = answer(monkeypatch, "tpu\nTPU v5 lite\n4\n")
    monkeypatch.setattr(machine, "_PLUGINS", ())
    monkeypatch.setattr(machine, "_TPU_PLUGIN", "json")
    monkeypatch.setattr(machine, "_TPU_FILES", (f"{tmp_path}/accel*",))
    assert machine.accelerator() is None
    assert requested == []
    machine._accelerator.cache_clear()
    (tmp_path / "accel0").touch()
    assert machine.accelerator() == "TPU v5 lite"


def test_a_probe_that_hangs_means_no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "")

    def hang(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(machine.subprocess, "run", hang)
    assert machine.accelerator() is None


def test_jax_answers_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real query, of a JAX that is set to the CPU."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    requested = subprocess.run(
        [machine.sys.executable, "-c", machine._PROBE], capture_output=True, text=True, check=True
    )
    platform, kind, count = requested.stdout.splitlines()
    assert (platform, kind) == ("cpu", "cpu")
    assert int(count) >= 1
