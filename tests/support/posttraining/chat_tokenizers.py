"""Tokenizers of the kinds that chat models have, trained here, in folders as Hugging Face's."""

import json
from pathlib import Path
from typing import Any

import pytest

from scaling.data.spec import TokenizerSpec
from scaling.data.tokenizer import Tokenizer
from scaling.data.tokenizer_files import keep_tokenizer, open_tokenizer

LLAMA3 = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
CHATML = ("<|im_start|>", "<|im_end|>")
TEXT = [f"the quick brown fox {at} jumps\n\nover {at * 7} lazy dogs, and the end of it" for at in range(300)]

# In the manner of Llama 3's, Qwen's, Llama 2's and of templates that mark what is generated: written for these tests.
LLAMA3_TEMPLATE = (
    "{% for m in messages %}{% set text = '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' "
    "+ m['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set text = bos_token + text %}{% endif %}"
    "{{ text }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML_TEMPLATE = (
    "{%- for m in messages %}\n    {{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}\n"
    "{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\n' }}\n{%- endif %}"
)
LLAMA2_TEMPLATE = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{% if m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}{% else %}"
    "{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MARKED_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}"
    "{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_level(folder: Path, template: str | None = LLAMA3_TEMPLATE, eos: str = "<|eot_id|>") -> Path:
    """Byte-level BPE with the control tokens of Llama 3 and of ChatML."""
    library = pytest.importorskip("tokenizers", reason='needs pip install -e ".[tokenizers]"')
    tokenizer = library.Tokenizer(library.models.BPE())
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    alphabet = sorted(library.pre_tokenizers.ByteLevel.alphabet())
    trainer = library.trainers.BpeTrainer(
        vocab_size=400, show_progress=False, special_tokens=[*LLAMA3, *CHATML], initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.post_processor = _beginning(tokenizer, "<|begin_of_text|>")
    return _kept(tokenizer, folder, template, "<|begin_of_text|>", eos)


def metaspace(folder: Path, template: str | None = LLAMA2_TEMPLATE) -> Path:
    """BPE whose words begin with a sign for the space, put before the first word of a text too, as Llama 2's."""
    library = pytest.importorskip("tokenizers", reason='needs pip install -e ".[tokenizers]"')
    tokenizer = library.Tokenizer(library.models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = library.pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    pieces = [library.decoders.ByteFallback(), library.decoders.Metaspace(prepend_scheme="first")]
    tokenizer.decoder = library.decoders.Sequence(pieces)
    trainer = library.trainers.BpeTrainer(
        vocab_size=400, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=[*"[]/INST:<>|"]
    )
    tokenizer.train_from_iterator([line.replace("\n", " ") for line in TEXT], trainer)
    tokenizer.post_processor = _beginning(tokenizer, "<s>")
    return _kept(tokenizer, folder, template, "<s>", "</s>")


def _beginning(tokenizer: Any, bos: str) -> Any:
    """Puts the beginning of text before every text by itself, as models' tokenizers do unless told not to."""
    import tokenizers

    id = tokenizer.token_to_id(bos)
    return tokenizers.processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, id)])


def _kept(tokenizer: object, folder: Path, template: str | None, bos: str, eos: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))  # type: ignore[attr-defined]
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": eos}
    if template is not None:
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def opened(folder: Path) -> Tokenizer:
    """The tokenizer of a folder, as one that trains a model opens it."""
    kept = folder.parent / f"{folder.name}-kept"
    tokenizer = open_tokenizer(keep_tokenizer(TokenizerSpec(file=str(folder)), kept, iter(())), kept)
    assert tokenizer is not None
    return tokenizer
