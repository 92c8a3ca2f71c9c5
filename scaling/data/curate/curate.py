"""A curation: sources through steps to documents that are worth training on, with a record of all that was dropped."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scaling.data.building.survey import find_text_parts
from scaling.data.curate.curated import PAGE, is_curated, own_entries
from scaling.data.curate.engine.funnel import FUNNEL
from scaling.data.curate.engine.stage import key_of
from scaling.data.curate.engine.tasks import TaskRunner, sizes_in
from scaling.data.curate.running import CurateProgress, NothingLeft, Run, step_module
from scaling.data.curate.spec import STEPS, Curation
from scaling.data.curate.writing import write_curated
from scaling.data.locked import locked
from scaling.data.sources import Part
from scaling.data.spec import BuildSpec
from scaling.errors import InputError
from scaling.files import write_text

_CURRENT = "current"
_GOES_ON = "what is done is kept, and the same command goes on with it"


@dataclass(frozen=True)
class Curated:
    """A finished curation.

    Attributes:
        folder: of its documents.
        funnel: what came of it: the content of its ``funnel.json``.
        steps: the folder of the steps' results, which a curation with other options uses again.
    """

    folder: Path
    funnel: dict[str, Any]
    steps: Path


def curate(
    spec: BuildSpec,
    out: Path,
    tasks: Callable[[], AbstractContextManager[TaskRunner]],
    report: Callable[[CurateProgress], None],
    *,
    until: str | None = None,
    sample: float | None = None,
    on_error: Literal["stop", "skip"] = "stop",
) -> Curated:
    """Curates sources into a folder of Parquet files, or resumes where an earlier call was interrupted.

    The results of the steps are kept in a hidden folder beside ``out``; those that nothing has changed are used again.

    Args:
        spec: the sources and the steps.
        out: the folder, which must not be there, or be an earlier curation, which is replaced; what else is in that
            stays.
        tasks: what does the tasks.
        report: called with the progress.
        until: the last step to do; None for all.
        sample: share of the documents to take, by their content; None for all.
        on_error: ``skip`` leaves out documents and files that cannot be read, and counts them.

    Raises:
        InputError: invalid sources or options; a missing package; another folder at ``out``, or sources in it;
            nothing is left.
    """
    if out.exists() and not is_curated(out) and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: is there already, and is no curated data; remove it, or choose another `out`")
    options = [source.curation(spec.curate or Curation()) for source in spec.sources]
    chain = _chain(options, until)
    _check(spec, chain, options)
    parts, warnings = find_text_parts(spec, skip=on_error == "skip")
    place = Path(os.path.realpath(out))
    _check_apart(spec, parts, out, place)
    work = place.with_name(f".{place.name}.steps")
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from None
    with locked(work / "lock", "another process is curating it now"):
        try:
            with tasks() as runner:
                run = Run(spec, work, runner, report, sample, on_error == "skip")
                stages = run.all(parts, chain, options)
                key = key_of([stage.folder.name for stage in stages], spec.model_dump(mode="json", exclude={"curate"}))
                if is_curated(place) and _is_current(work, key, place):
                    return Curated(out, json.loads((place / FUNNEL).read_text()), work)
                told = [{"code": warning.code, "message": warning.message} for warning in warnings]
                funnel = write_curated(run, spec, place, work, stages, told)
                write_text(work / _CURRENT, json.dumps({"key": key, "files": _own_sizes(place)}))
        except InputError as error:
            raise InputError(_kept(work, error)) from None
        except BrokenProcessPool:
            why = "a process was killed, perhaps for memory: try fewer `workers`"
            raise InputError(f"{out}: {why}; {_GOES_ON}") from None
        except OSError as error:
            raise InputError(f"{out}: {error}; {_GOES_ON}") from None
    return Curated(out, funnel, work)


def _is_current(work: Path, key: str, folder: Path) -> bool:
    """Whether the folder of documents is what the key names, and its files are as long as they were written."""
    try:
        known = json.loads((work / _CURRENT).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(known == {"key": key, "files": _own_sizes(folder)})


def _own_sizes(folder: Path) -> dict[str, int]:
    """Bytes of the files that a curation writes."""
    own = own_entries(folder) - {PAGE}
    return {path: size for path, size in sizes_in(folder).items() if Path(path).parts[0] in own}


def _check_apart(spec: BuildSpec, parts: Sequence[Part], out: Path, place: Path) -> None:
    """Raises an InputError where a curation would replace what it reads, or read what it has written the next time."""
    read = {os.path.realpath(os.path.dirname(path)): path for part in parts for path in part.paths}
    errors = [
        f"{path}: is in `out` {out}, which is replaced; choose another `out`"
        for folder, path in sorted(read.items())
        if place in (Path(folder), *Path(folder).parents)
    ]
    for source in spec.sources:
        folder = Path(os.path.realpath(os.path.expanduser(source.path or "")))
        if source.path and folder in place.parents and folder.is_dir():
            hidden = any(name.startswith(".") for name in place.relative_to(folder).parts)
            errors += [] if hidden else [f"{out}: is in the source {source.path}; choose another `out`"]
    if errors:
        raise InputError(errors)


def _chain(options: Sequence[Curation], until: str | None) -> list[str]:
    """The steps that some source has, in order."""
    chain = [step for step in STEPS if any(each.option(step) is not None for each in options)]
    if until is None or until == "duplicates":
        return [] if until else chain
    if until not in chain:
        steps = ", ".join(["duplicates", *chain])
        raise InputError(f"`until` {until}: is none of the steps here, which are {steps}")
    return chain[: chain.index(until) + 1]


def _check(spec: BuildSpec, chain: Sequence[str], options: Sequence[Curation]) -> None:
    """Raises an InputError with what is wrong with the options, before anything is read."""
    errors = [message for _, message in curation_violations(spec)]
    for step in chain:
        check = getattr(step_module(step), "check", None)
        try:
            if check is not None:
                check([each.option(step) for each in options])
        except InputError as error:
            errors += error.errors
    if errors:
        raise InputError(errors)


def curation_violations(spec: BuildSpec) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with the steps of a data file: the path of a key, and a message."""
    for number, source in enumerate(spec.sources):
        if source.path is not None and is_curated(source.path):
            yield ("sources", number, "path"), f"is curated data, whose documents are in {source.path}/*/*.parquet"
    names = [source.label for source in spec.sources]
    places: list[tuple[tuple[str | int, ...], Curation | None]] = [(("curate",), spec.curate)]
    places += [(("sources", number, "curate"), source.curate) for number, source in enumerate(spec.sources)]
    for path, curation in places:
        for step in ("quality", "perplexity"):
            options = None if curation is None else curation.option(step)
            for name in () if options is None else options.like:
                if name not in names:
                    yield (*path, step, "like"), f"no source is called '{name}'; they are {', '.join(names)}"
            if options is not None and set(names) <= set(options.like):
                yield (*path, step, "like"), "every source is a reference; nothing is left to judge"


def _kept(work: Path, error: InputError) -> tuple[str, ...]:
    """The errors, the last with what is kept; where nothing is done or of use, nothing is left."""
    done = sum(1 for _ in work.glob("read/texts/[!.]*"))
    if not done or isinstance(error, NothingLeft):
        shutil.rmtree(work)
        return error.errors
    kept = "the part that is read is" if done == 1 else f"the {done} parts that are read are"
    return (*error.errors[:-1], f"{error.errors[-1]}; {kept} kept for the next try")
