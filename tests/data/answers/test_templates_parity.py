"""The ids and masks of chat templates are those of transformers' ``apply_chat_template``."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posttraining import chat_tokenizers

from scaling.data.answers.formats.messages import Message
from scaling.data.answers.template_files import find_template
from scaling.data.answers.templates import ChatTemplate

pytestmark = pytest.mark.xdist_group("torch")

DIALOGUES = {
    "one turn": [("user", "Who jumps over the dog?"), ("assistant", "The quick fox.")],
    "two turns": [
        ("user", "Who?"),
        ("assistant", "A fox."),
        ("user", "Over\n\nwhat?"),
        ("assistant", " 3 dogs — é東 "),
    ],
}
KINDS = {
    "llama3": (chat_tokenizers.byte_level, chat_tokenizers.LLAMA3_TEMPLATE),
    "chatml": (chat_tokenizers.byte_level, chat_tokenizers.CHATML_TEMPLATE),
    "marked": (chat_tokenizers.byte_level, chat_tokenizers.MARKED_TEMPLATE),
    "llama2": (chat_tokenizers.metaspace, chat_tokenizers.LLAMA2_TEMPLATE),
}


def opened(folder: Path, kind: str) -> tuple[ChatTemplate, Any]:
    transformers = pytest.importorskip("transformers", reason='needs pip install -e ".[parity]"')
    make, template = KINDS[kind]
    made = make(folder / kind, template)
    ours = find_template(None, chat_tokenizers.opened(made), made, text=False)
    assert isinstance(ours, ChatTemplate)
    return ours, transformers.AutoTokenizer.from_pretrained(str(made))


@pytest.fixture(scope="module", params=list(KINDS))
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ChatTemplate, Any]:
    return opened(tmp_path_factory.mktemp("models"), request.param)


def messages(name: str) -> list[Message]:
    return [Message(role=role, content=content) for role, content in DIALOGUES[name]]


@pytest.mark.parametrize("name", list(DIALOGUES))
def test_ids_are_those_of_transformers(both: tuple[ChatTemplate, Any], name: str) -> None:
    ours, theirs = both
    turns = messages(name)
    whole = theirs.apply_chat_template(turns, tokenize=True, return_dict=False)
    ids = ours.render(turns, add_generation_prompt=False)
    assert ids.tolist() == whole[: len(ids)]
    assert not theirs.decode(whole[len(ids) :]).strip(), "nothing but white space is behind the end"
    prompt = theirs.apply_chat_template(turns[:-1], tokenize=True, return_dict=False, add_generation_prompt=True)
    assert ours.render(turns[:-1], add_generation_prompt=True).tolist() == prompt


@pytest.mark.parametrize("name", list(DIALOGUES))
def test_marked_tokens_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    ours, theirs = opened(tmp_path, "marked")
    turns = messages(name)
    made = theirs.apply_chat_template(turns, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    example = ours.answered(tuple(turns[:-1]), turns[-1]["content"])
    assert example.ids.tolist() == made["input_ids"][: len(example.ids)]
    assert np.flatnonzero(example.counted).tolist() == np.flatnonzero(made["assistant_masks"]).tolist()


@pytest.mark.parametrize("name", list(DIALOGUES))
def test_marks_and_turns_count_the_same(tmp_path: Path, name: str) -> None:
    """A template with its ``generation`` tags, and the same without them."""
    turns = messages(name)
    plain = chat_tokenizers.MARKED_TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    examples = []
    for at, source in enumerate((chat_tokenizers.MARKED_TEMPLATE, plain)):
        folder = chat_tokenizers.byte_level(tmp_path / str(at), source)
        template = find_template(None, chat_tokenizers.opened(folder), folder, text=False)
        examples.append(template.answered(tuple(turns[:-1]), turns[-1]["content"]))
    assert examples[0].ids.tolist() == examples[1].ids.tolist()
    assert examples[0].counted.tolist() == examples[1].counted.tolist()
