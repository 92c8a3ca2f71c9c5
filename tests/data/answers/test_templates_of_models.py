"""The templates of well-known models, as TRL brings them with it: text, ids and masks are those of transformers."""

import datetime
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posttraining import chat_tokenizers

from scaling.data.answers.formats.jinja import BEGIN, END, Renderer
from scaling.data.answers.formats.messages import Message
from scaling.data.answers.template_files import find_template
from scaling.data.answers.templates import ChatTemplate

pytestmark = pytest.mark.xdist_group("torch")

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
QUESTION = Message(role="user", content="Who?")
DIALOGUES = [
    [QUESTION],
    [QUESTION, Message(role="assistant", content="You.")],
    [
        Message(role="system", content="Be brief"), QUESTION, Message(role="assistant", content="You."),
        Message(role="user", content=" Why?"), Message(role="assistant", content="So it is: \u00e9 \u6771\n"),
    ],
]  # fmt: skip
FAMILIES = ("llama3", "qwen2_5", "qwen3_i", "gemma3", "phi3", "deepseekv3", "cohere2", "glm4")
# Of those whose control tokens our small tokenizer has, with those that mark what is generated.
OWN = ("llama3", "llama3_1", "llama3_2", "qwen2_5", "qwen3_instruct_2507")
MARKED = ("llama3_training", "qwen2_5_training", "qwen3_instruct_2507_training")


def folder() -> Path:
    found = importlib.util.find_spec("trl")  # without importing it, which takes long
    if found is None or found.origin is None:
        pytest.skip('needs pip install -e ".[parity]"')
    return Path(found.origin).parent / "chat_templates"


@pytest.fixture
def chats(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Transformers' rendering, on the day that ours is always on."""
    pytest.importorskip("transformers", reason='needs pip install -e ".[parity]"')
    from transformers.utils import chat_template_utils

    class Day(datetime.datetime):
        @classmethod
        def now(cls, _: object = None) -> "Day":
            return cls(2024, 7, 26)

    monkeypatch.setattr(chat_template_utils, "datetime", Day)
    return chat_template_utils


def test_texts_are_those_of_transformers(chats: Any) -> None:
    names = sorted(path for family in FAMILIES for path in folder().glob(f"{family}*.jinja"))
    assert len(names) > len(FAMILIES)
    refused = 0
    for name in names:
        source = name.read_text()
        renderer = Renderer(source, name.name, TOKENS)
        for turns in DIALOGUES:
            asked = len(turns) == 1
            try:
                theirs = chats.render_jinja_template(
                    [turns], chat_template=source, add_generation_prompt=asked, **TOKENS
                )[0][0]
            except Exception:  # of a template that takes no system message
                refused += 1
                with pytest.raises(ValueError, match=f"template {name.name}: "):
                    renderer.render(turns, asked)
                continue
            ours = renderer.render(turns, asked)
            assert ours.replace(BEGIN, "").replace(END, "") == theirs, name.name
    assert refused < len(names)


def opened(name: str, place: Path) -> tuple[ChatTemplate, Any]:
    import transformers

    made = chat_tokenizers.byte_level(place / name, (folder() / f"{name}.jinja").read_text())
    ours = find_template(None, chat_tokenizers.opened(made), made, text=False)
    assert isinstance(ours, ChatTemplate)
    return ours, transformers.AutoTokenizer.from_pretrained(str(made))


@pytest.mark.usefixtures("chats")
@pytest.mark.parametrize("name", OWN)
def test_turns_of_models(name: str, tmp_path: Path) -> None:
    ours, theirs = opened(name, tmp_path)
    for turns in DIALOGUES[1:]:
        whole = theirs.apply_chat_template(turns, tokenize=True, return_dict=False)
        example = ours.answered(tuple(turns[:-1]), turns[-1]["content"])
        assert example.ids.tolist() == whole[: len(example.ids)]
        assert not theirs.decode(whole[len(example.ids) :]).strip()
        answers = [message["content"].strip() for message in turns if message["role"] == "assistant"]
        runs = np.split(example.ids, np.flatnonzero(np.diff(example.counted)) + 1)[1::2]
        assert [theirs.decode(run[:-1]).strip() for run in runs] == answers
        assert {int(run[-1]) for run in runs} == {ours.end}


@pytest.mark.usefixtures("chats")
@pytest.mark.parametrize("name", MARKED)
def test_masks_of_models(name: str, tmp_path: Path) -> None:
    ours, theirs = opened(name, tmp_path)
    for turns in DIALOGUES[1:]:
        made = theirs.apply_chat_template(turns, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        example = ours.answered(tuple(turns[:-1]), turns[-1]["content"])
        wanted = np.flatnonzero(made["assistant_masks"])
        # Theirs may count the line's end behind an answer's end, which ours leaves out.
        extra = set(wanted.tolist()) - set(np.flatnonzero(example.counted).tolist())
        assert all(made["input_ids"][at - 1] == ours.end for at in extra)
        assert set(np.flatnonzero(example.counted).tolist()) <= set(wanted.tolist())
        assert (np.array(made["input_ids"])[: len(example.ids)] == example.ids).all()
