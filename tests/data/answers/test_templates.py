"""Chat templates: one beginning, an end that counts, no control token from what people write, one way to render."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from posttraining import chat_tokenizers

from scaling.data.answers import templates
from scaling.data.answers.formats.jinja import BUILT_IN
from scaling.data.answers.formats.messages import Message
from scaling.data.answers.rows import Ids
from scaling.data.answers.template_files import find_template
from scaling.data.answers.templates import ChatTemplate, LeftOut, PlainTemplate, Template
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.data.tokenizer_kinds import HuggingFace
from scaling.errors import InputError

PROMPT = (Message(role="user", content="Who jumps over the dog?"),)
ANSWER = "The quick brown fox."
TWO_TURNS = (*PROMPT, Message(role="assistant", content="A fox."), Message(role="user", content="Which?"))
BUNDLED = tuple(sorted(BUILT_IN))
BEGINNING = [*(name for name in BUNDLED if name != "bytes"), "plain"]


@pytest.fixture(scope="module")
def llama3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_tokenizers.byte_level(tmp_path_factory.mktemp("models") / "llama3")


@pytest.fixture(scope="module")
def tokenizer(llama3: Path) -> Tokenizer:
    return chat_tokenizers.opened(llama3)


def bundled(name: str, tokenizer: Tokenizer, beside: Path) -> tuple[ChatTemplate, Tokenizer]:
    used = BYTES if name == "bytes" else tokenizer
    made = find_template(name, used, None if name == "bytes" else beside, text=False)
    assert isinstance(made, ChatTemplate)
    return made, used


@pytest.mark.parametrize("name", BUNDLED)
def test_the_end_counts_and_is_last(name: str, tokenizer: Tokenizer, llama3: Path) -> None:
    """Bug 2."""
    template, used = bundled(name, tokenizer, llama3)
    for prompt in (PROMPT, TWO_TURNS):
        example = template.answered(prompt, ANSWER)
        check_end(example.ids, example.counted, template.end)
        turns = 1 + sum(message["role"] == "assistant" for message in prompt)
        assert int((example.counted & (example.ids == template.end)).sum()) == turns, "every answer of it ends"
        assert used.decode(example.ids[example.counted]).count("fox") == turns
    masked = example.counted & (example.ids != template.end)  # as where padding is the end, and is masked by its id
    with pytest.raises(AssertionError):
        check_end(example.ids, masked, template.end)


def check_end(ids: Ids, counted: np.ndarray, end: int) -> None:
    assert ids[-1] == end
    assert counted[-1]


@pytest.mark.parametrize("name", BEGINNING)
def test_one_beginning(name: str, llama3: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug 3: of a tokenizer that adds the beginning of text by itself too."""
    import tokenizers

    template = find_template(name, tokenizer, llama3, text=name == "plain")
    begin = tokenizer.controls["<|begin_of_text|>"]

    def beginnings() -> int:
        ids = template.answered("Who?" if name == "plain" else TWO_TURNS, ANSWER).ids
        assert ids[0] == begin
        return ids.tolist().count(begin)

    assert beginnings() == 1
    asked = template.prompt("Who?" if name == "plain" else TWO_TURNS).tolist()
    assert asked.count(begin) == 1
    assert asked[0] == begin
    fast = tokenizers.Tokenizer.from_file(str(llama3 / "tokenizer.json"))
    assert fast.encode("Who?").ids[0] == begin, "it adds one unless told not to"

    def adding(_: HuggingFace, text: bytes) -> np.ndarray:
        return np.array(fast.encode(text.decode(), add_special_tokens=True).ids, np.int32)

    monkeypatch.setattr(HuggingFace, "encode" if name == "plain" else "encode_controls", adding)
    if name == "plain":
        with pytest.raises(LeftOut, match=templates.CONTROL):
            beginnings()
    else:
        assert beginnings() == 2, "the check sees a second one"


def test_a_template_that_begins_twice_is_refused(llama3: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    file = tmp_path / "twice.jinja"
    file.write_text("{{ bos_token }}" + chat_tokenizers.LLAMA3_TEMPLATE)
    with pytest.raises(InputError, match=r"twice.jinja: writes <\|begin_of_text\|> twice"):
        find_template(str(file), tokenizer, llama3, text=False)


@pytest.mark.parametrize("written", ["<|eot_id|>", "<|start_header_id|>system<|end_header_id|>", "a <|end_of_text|> b"])
def test_control_tokens_within_text_are_text(
    written: str, llama3: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug 4: a message cannot write as the template does."""
    template, _ = bundled("llama3", tokenizer, llama3)
    controls = np.array(list(tokenizer.controls.values()))
    wanted = int(np.isin(template.answered(PROMPT, ANSWER).ids, controls).sum())

    def check() -> None:
        example = template.answered((Message(role="user", content=f"Say {written} now"),), f"It is {written}!")
        assert int(np.isin(example.ids, controls).sum()) == wanted
        assert tokenizer.decode(example.ids[example.counted]) == f"It is {written}!", "the completion comes back"

    check()
    monkeypatch.setattr(templates._Encoder, "broken", lambda _, content: content)
    with pytest.raises(AssertionError):
        check()


def test_bytes_of_control_leave_a_row_out() -> None:
    template = find_template(None, BYTES, None, text=False)
    for text in ("a\x01b", "\x02", "end\x00"):
        with pytest.raises(LeftOut, match="control token in the text"):
            template.prompt((Message(role="user", content=text),))
        with pytest.raises(LeftOut, match="control token in the text"):
            template.answered("a question", text)
        with pytest.raises(LeftOut, match="control token in the text"):
            find_template("plain", BYTES, None, text=True).answered("a question", text)
    with pytest.raises(LeftOut, match="reserved character"):
        template.prompt("a\ufdd2b")


def test_control_tokens_that_cannot_be_kept_apart_leave_a_row_out(tmp_path: Path) -> None:
    """Of a tokenizer whose ids of a part depend on whether it is the first."""
    folder = chat_tokenizers.metaspace(tmp_path / "llama2")
    template = find_template(None, chat_tokenizers.opened(folder), folder, text=False)
    template.answered(PROMPT, ANSWER)
    with pytest.raises(LeftOut, match="control token in the text"):
        template.answered(PROMPT, "The </s> fox")


def test_a_shared_token_at_the_seam_leaves_a_row_out(tokenizer: Tokenizer, llama3: Path) -> None:
    """Bug 4: what the model is asked with is then not what it was trained on."""
    template = find_template("plain", tokenizer, llama3, text=True)
    assert isinstance(template, PlainTemplate)
    kept = template.answered("the quick brown", " fox")
    assert tokenizer.decode(kept.ids[kept.counted][:-1]) == " fox"
    assert len(tokenizer.encode(b"the")) == 1, "so that it is a token of both sides"
    with pytest.raises(LeftOut, match="prompt and answer share a token"):
        template.answered("t", "he fox")


@pytest.mark.parametrize("name", [*BUNDLED, "plain"])
def test_training_and_scoring_render_alike(name: str, tokenizer: Tokenizer, llama3: Path) -> None:
    """Bug 9: prompt and answer as they are scored are the ids that were trained on."""
    template = find_template(name, BYTES if name == "bytes" else tokenizer, llama3, text=name == "plain")
    prompt = "Who jumps over the dog?" if name == "plain" else TWO_TURNS
    example = template.answered(prompt, ANSWER)
    assert scored(template, prompt, ANSWER).tolist() == example.ids.tolist()
    before = template.prompt(prompt)
    assert example.ids[: len(before)].tolist() == before.tolist()
    assert not example.counted[: len(before)][-1]
    assert example.counted[len(before) :].all()
    without_end = np.concatenate([before, template.answered(prompt, ANSWER).ids[len(before) : -1]])
    assert without_end.tolist() != example.ids.tolist(), "the check sees a score without the end"


def scored(template: Template, prompt: object, answer: str) -> Ids:
    if isinstance(template, ChatTemplate):
        assert isinstance(prompt, tuple)
        return template.render((*prompt, Message(role="assistant", content=answer)), add_generation_prompt=False)
    assert isinstance(prompt, str)
    return template.answered(prompt, answer).ids


@given(question=st.text(min_size=1, max_size=20), answer=st.text(min_size=1, max_size=20))
def test_any_text_comes_back_from_bytes(question: str, answer: str) -> None:
    template = find_template(None, BYTES, None, text=False)
    try:
        example = template.answered(question, answer)
    except LeftOut:
        assert any(sign in question + answer for sign in "\x00\x01\x02\ufdd0\ufdd1\ufdd2")
        return
    assert bytes(example.ids.tolist()) == b"\x01" + question.encode() + b"\x02" + answer.encode() + b"\x00"
    assert bytes(example.ids[example.counted].tolist()) == answer.encode() + b"\x00"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% for m in messages %}{{ m.content }}", "not a template of Jinja"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "no control token ends an answer"),
        (
            "{% if add_generation_prompt %}<think>{% endif %}"
            "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}",
            "the text of a prompt is not where that of its answer begins",
        ),
        ("{{ raise_exception('not for people') }}", "not for people"),
        ("{{ messages[0].__class__.__mro__ }}<|eot_id|>", "unsafe"),
        ("{{ messages.append(1) }}", "append"),
    ],
    ids=["syntax", "no end", "no prefix", "refuses", "unsafe", "mutates"],
)
def test_templates_that_are_refused(source: str, said: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    file = tmp_path / "chat_template.jinja"
    file.write_text(source)
    with pytest.raises(InputError, match=said) as raised:
        find_template(str(tmp_path), tokenizer, None, text=False)
    assert len(raised.value.errors) == 1


def test_turns_that_change_later_are_refused_by_name(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """As of templates that leave out what earlier answers thought."""
    file = tmp_path / "thoughtful.jinja"
    file.write_text(
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and loop.last %}"
        "{{ 'Hm. ' }}{% endif %}{{ m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    template = find_template(str(file), tokenizer, None, text=False)
    template.answered(PROMPT, ANSWER)
    with pytest.raises(ValueError, match=r"template .*thoughtful.jinja: .* \{% generation %\}"):
        template.answered(TWO_TURNS, ANSWER)


def test_a_template_of_settings_may_be_one_of_several(tokenizer: Tokenizer, tmp_path: Path) -> None:
    import json

    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": chat_tokenizers.CHATML_TEMPLATE}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named, "eos_token": "<|im_end|>"}))
    template = find_template(str(tmp_path), tokenizer, None, text=False)
    assert template.end == tokenizer.controls["<|im_end|>"]
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer_config.json: not JSON"):
        find_template(str(tmp_path), tokenizer, None, text=False)


def test_which_template(tokenizer: Tokenizer, llama3: Path, tmp_path: Path) -> None:
    assert find_template(None, BYTES, None, text=True).name == "bytes"
    assert find_template(None, tokenizer, llama3, text=True).name == "plain"
    assert find_template(None, tokenizer, llama3, text=False).name == str(llama3)
    without = chat_tokenizers.byte_level(tmp_path / "base", template=None)
    for beside in (None, without):
        with pytest.raises(InputError, match="has none for messages; give bytes, chatml, llama3, transcript, plain"):
            find_template(None, tokenizer, beside, text=False)
    with pytest.raises(InputError, match="`template`: nothing: no such template or file"):
        find_template("nothing", tokenizer, llama3, text=False)
    with pytest.raises(InputError, match=r"`template`: chatml writes '<\|im_start\|>', and the tokenizer bytes"):
        find_template("chatml", BYTES, None, text=False)
    with pytest.raises(InputError, match="`template`: plain is for prompts and answers of text"):
        find_template("plain", BYTES, None, text=False)


def test_a_date_does_not_change_the_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    file = tmp_path / "dated.jinja"
    file.write_text(
        "{{ bos_token }}{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m.content + '<|eot_id|>' }}{% endfor %}"
    )
    template = find_template(str(file), tokenizer, None, text=False)
    assert "26 Jul 2024" in tokenizer.decode(template.prompt(PROMPT))
