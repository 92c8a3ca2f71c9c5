"""What the runs of a stage are trained on: examples, prompts, and pairs from files or written by a policy."""

import hashlib
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np

from scaling.data.answers.examples import load_examples
from scaling.data.answers.preferences import load_pairs
from scaling.data.answers.prompts import load_prompts
from scaling.data.answers.rows import ExampleSet, Pair, PairSet, PromptSet
from scaling.data.answers.spec import AnswersSpec
from scaling.data.shards import TOKENIZER, is_built, read_manifest
from scaling.data.spec import TokenizerSpec
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.data.tokenizer_files import keep_tokenizer, open_tokenizer
from scaling.errors import InputError
from scaling.files import write_bytes
from scaling.posttrain.config import StageConfig, StageName
from scaling.posttrain.rewards.gold import find_gold
from scaling.posttrain.rewards.preferring import make_pairs
from scaling.posttrain.settings import RewardSettings, settings_of
from scaling.posttrain.stage import Model
from scaling.sweep.stages.sources import read_source

Loaded: TypeAlias = ExampleSet | PairSet | PromptSet
# Pairs that a policy has written, beside the stages' folders; removed, they are written again.
PAIRS = "pairs"


def load_answers(stage: StageName, spec: AnswersSpec, place: str | None, seq_len: int, written: bool) -> Loaded:
    """Reads the data of a stage.

    Args:
        stage: which.
        spec: where the data is.
        place: folder of the models' tokenizer; see ``tokenizer_of``.
        seq_len: tokens that a row may have.
        written: whether a policy writes the pairs, so that the data are prompts.

    Raises:
        InputError: as of the loaders.
    """
    tokenizer, folder = tokenizer_of(place), None if place is None else Path(place).expanduser()
    if stage == "sft":
        return load_examples(spec, tokenizer, seq_len, folder)
    if stage in ("reward", "dpo") and not written:
        return load_pairs(spec, tokenizer, seq_len, folder)
    return load_prompts(spec, tokenizer, seq_len, folder)


def tokenizer_of(place: str | None) -> Tokenizer:
    """The tokenizer of built data or of an imported model, or that of bytes.

    Args:
        place: the folder; None for bytes.

    Raises:
        InputError: the data has ids alone, the model has no tokenizer, or a library is missing.
    """
    if place is None:
        return BYTES
    folder = Path(place).expanduser()
    if is_built(folder):
        found = open_tokenizer(read_manifest(folder).tokenizer, folder / TOKENIZER)
    else:
        with TemporaryDirectory() as kept:
            record = keep_tokenizer(TokenizerSpec(file=str(folder)), Path(kept), iter(()))
            found = open_tokenizer(record, Path(kept))
    if found is None:
        raise InputError(f"{place}: built from ids, without the tokenizer that text needs")
    return found


def tokenizer_place(path: str | None) -> str | None:
    """The folder that has the tokenizer of a corpus's ``path``, or None where that is text, read by bytes."""
    return path if path is not None and is_built(path) else None


class StageData:
    """Reads what runs are trained on, each once in a process.

    Args:
        chain: the folder that the stages' folders are in.
        most: pairs to write at once, by seed, so that runs of fewer find them.
    """

    def __init__(self, chain: Path, most: dict[int, int] | None = None) -> None:
        self._chain, self._most = chain, most or {}
        self._loaded: dict[str, Loaded] = {}
        self._written: dict[str, PairSet] = {}

    def of_run(self, config: StageConfig) -> Loaded:
        """What a run is trained on.

        Raises:
            InputError: it is not what it was when the run was planned.
        """
        loaded = self._answers(config)
        if "policy" not in config.sources or config.stage not in ("reward", "dpo"):
            return loaded
        assert isinstance(loaded, PromptSet)
        return self._pairs(config, loaded)

    def _answers(self, config: StageConfig) -> Loaded:
        data = config.data
        key = json.dumps([config.stage in ("reward", "dpo"), "policy" in config.sources, data], sort_keys=True)
        if key not in self._loaded:
            spec = AnswersSpec.model_validate(data["answers"])
            place, written = data["tokenizer"]["place"], "policy" in config.sources
            found = load_answers(config.stage, spec, place, config.model.seq_len, written)
            if found.sha256 != data["sha256"]:
                raise InputError(f"{spec.where}: the data has changed since the sweep was planned")
            self._loaded[key] = found
        return self._loaded[key]

    def _pairs(self, config: StageConfig, prompts: PromptSet) -> PairSet:
        settings = settings_of(config)
        held_out = settings.held_out if isinstance(settings, RewardSettings) else RewardSettings(1).held_out
        identity = [config.sources["policy"].id, config.data, settings.gold, settings.raters, config.seed, held_out]
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        found = self._written.get(key) or _read_pairs(self._chain / PAIRS / f"{key}.npz", prompts)
        if found is None or len(found.train) < settings.pairs:

            def source(part: str) -> Model:
                return read_source(self._chain, config.sources[part])

            gold = find_gold(settings.gold, prompts.tokenizer, source, prompts.end)
            wanted = max(settings.pairs, self._most.get(config.seed, 0))
            found = make_pairs(source("policy"), prompts, gold, wanted, config.seed, settings.raters, held_out=held_out)
            _write_pairs(self._chain / PAIRS / f"{key}.npz", found)
        self._written[key] = found
        return found


def _write_pairs(file: Path, pairs: PairSet) -> None:
    """Writes pairs, atomically: the ids of all one after another, and their lengths."""
    both = (*pairs.train, *pairs.held_out)
    parts = [ids for pair in both for ids in (pair.prompt, pair.chosen, pair.rejected)]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        ids=np.concatenate(parts) if parts else np.zeros(0, np.int32),
        lengths=np.array([len(part) for part in parts], np.int32),
        ratings=np.array([np.nan if pair.rating is None else pair.rating for pair in both]),
        safety=np.array([pair.safety for pair in both], bool),
        train=np.int64(len(pairs.train)),
        dropped=np.array(json.dumps(pairs.dropped)),
        sha256=np.array(pairs.sha256),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, content.getvalue())


def _read_pairs(file: Path, prompts: PromptSet) -> PairSet | None:
    """Pairs that were written before; None where there are none, or the file is damaged."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as content:
            values: dict[str, Any] = {name: content[name] for name in content.files}
        ends = np.cumsum(values["lengths"])
        parts = np.split(values["ids"], ends[:-1])
        pairs = tuple(
            Pair(
                *(parts[3 * at], parts[3 * at + 1], parts[3 * at + 2]),
                rating=None if np.isnan(rating) else float(rating),
                safety=bool(safety),
            )
            for at, (rating, safety) in enumerate(zip(values["ratings"], values["safety"], strict=True))
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, IndexError, BadZipFile):  # of a damaged file
        return None
    count, dropped = int(values["train"]), json.loads(str(values["dropped"]))
    return PairSet(pairs[:count], pairs[count:], dropped, str(values["sha256"]), prompts.tokenizer, prompts.end)
