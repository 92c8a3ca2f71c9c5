"""Programs compiled ahead are those that training then uses."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import jax.experimental.compilation_cache.compilation_cache
import pytest
from tiny import MODEL, make_run, make_text

from scaling.train import step
from scaling.train.compile_ahead import AheadCompiler
from scaling.train.loop import train_run


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A compilation cache of its own, that everything is kept in."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path / "cache"),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    jax.experimental.compilation_cache.compilation_cache.reset_cache()
    yield tmp_path / "cache"
    for name, value in before.items():
        jax.config.update(name, value)
    jax.experimental.compilation_cache.compilation_cache.reset_cache()


def kept(folder: Path) -> set[str]:
    """The programs of training that a cache holds."""
    return {file.name for file in folder.iterdir() if file.name.startswith(("jit_train", "jit_evaluate"))}


def test_training_finds_both_programs_in_the_cache(cache: Path, tmp_path: Path) -> None:
    run = make_run(steps=80, model=replace(MODEL, width=24))
    ahead = AheadCompiler()
    assert ahead.start(run)
    assert not ahead.start(run), "one at a time"
    ahead.finish()
    assert not ahead.start(run), "once"
    compiled = kept(cache)
    assert len({name.split("-")[0] for name in compiled}) == 2
    step._program.cache_clear()  # as in another process
    jax.clear_caches()
    outcome = train_run(run, make_text(run), tmp_path / "checkpoints", (1e9, 1e9), lambda _: None)
    assert outcome.status == "done"
    assert kept(cache) == compiled
