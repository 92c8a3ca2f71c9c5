"""Prompts and answers as token ids: one function for training, scoring and sampling."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Protocol, runtime_checkable

import numpy as np

from scaling.data.answers.formats.jinja import BEGIN, END, Renderer
from scaling.data.answers.formats.messages import Message, Prompt
from scaling.data.answers.rows import Example, Ids
from scaling.data.tokenizer import Tokenizer
from scaling.data.tokenizer_kinds import split_at
from scaling.errors import InputError

CONTROL, SEAM = "control token in the text", "prompt and answer share a token"
# Stands within a control token's text where somebody else than the template has written it; a noncharacter too.
_BREAK = "\ufdd2"
_MARKS = (BEGIN, END, _BREAK)


class LeftOut(Exception):
    """A row that cannot be trained on, though nothing is wrong with it; its text is the reason."""


@runtime_checkable
class Template(Protocol):
    """How prompts and answers become ids.

    Attributes:
        name: of the template.
        sha256: of all that decides the ids besides the tokenizer.
        end: the id that ends an answer.
    """

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def end(self) -> int: ...

    def prompt(self, prompt: Prompt) -> Ids:
        """The ids of a prompt, up to where its answer begins."""
        ...

    def answered(self, prompt: Prompt, answer: str) -> Example:
        """A prompt with its answer, of which the end is the last id; answers and their ends are counted."""
        ...


class PlainTemplate:
    """Text as it is: the beginning of text if the tokenizer has one, the prompt, the answer, the end."""

    name = "plain"
    sha256 = hashlib.sha256(b"plain").hexdigest()

    def __init__(self, tokenizer: Tokenizer, tokens: Mapping[str, str]) -> None:
        self._encoder = _Encoder(tokenizer)
        self.end = tokenizer.controls.get(tokens.get("eos_token", ""), tokenizer.end)
        begin = tokenizer.controls.get(tokens.get("bos_token", ""), self.end)
        self._begin = np.array([begin] if begin != self.end else [], np.int32)

    def prompt(self, prompt: Prompt) -> Ids:
        assert isinstance(prompt, str)
        return np.concatenate([self._begin, self._encoder.plain(prompt)])

    def answered(self, prompt: Prompt, answer: str) -> Example:
        before = self.prompt(prompt)
        assert isinstance(prompt, str)
        ids = np.concatenate([self._begin, self._encoder.plain(prompt + answer), np.array([self.end], np.int32)])
        _check_seam(before, ids)
        return Example(ids, np.arange(len(ids)) >= len(before))


class ChatTemplate:
    """A chat template of Jinja; a prompt of text is a message of the user.

    The text of a dialogue is encoded with no special tokens added: its control tokens are those that the template
    writes, never what messages contain.

    Args:
        name: of the template, for errors.
        source: in Jinja.
        tokenizer: of the model.
        tokens: ``bos_token``, ``eos_token`` and others, as the tokenizer's settings name them.

    Raises:
        InputError: it is no template, closes no answer, or answers do not go on where prompts end.
    """

    def __init__(self, name: str, source: str, tokenizer: Tokenizer, tokens: Mapping[str, str]) -> None:
        self.name = name
        self.sha256 = hashlib.sha256(json.dumps([source, sorted(tokens.items())]).encode()).hexdigest()
        self._renderer, self._encoder = Renderer(source, name, tokens), _Encoder(tokenizer)
        self.end = self._probed(tokenizer.controls, tokens.get("bos_token"))

    def render(self, messages: Sequence[Message], add_generation_prompt: bool) -> Ids:
        """The ids of a dialogue.

        Args:
            messages: in turn.
            add_generation_prompt: whether an answer is to follow; else the last message is the assistant's, and the
                end of it the last id.

        Raises:
            ValueError: the template refuses the messages.
            LeftOut: their text has a control token that this tokenizer has no other ids for.
        """
        ids = self._encoder.ids(_unmarked(self._text(messages, add_generation_prompt)))
        return ids if add_generation_prompt else ids[: self._last_end(ids) + 1]

    def prompt(self, prompt: Prompt) -> Ids:
        return self.render(_messages(prompt), add_generation_prompt=True)

    def answered(self, prompt: Prompt, answer: str) -> Example:
        messages = (*_messages(prompt), Message(role="assistant", content=answer))
        marked = self._text(messages, False)
        text = _unmarked(marked)
        ids = self._encoder.ids(text)
        counted = np.zeros(len(ids), bool)
        spans = _spans(marked) if BEGIN in marked else self._turns(messages, text)
        places = self._places(text, ids, sorted({at for span in spans for at in span}))
        for first, after in ((places[start], places[stop]) for start, stop in spans):
            # What a template writes behind the end of a turn, such as a line's end, no model has to learn.
            ends = np.flatnonzero(ids[first : after + 1] == self.end)
            if not len(ends):
                raise ValueError(f"template {self.name}: an answer without its end")
            counted[first : first + ends[-1] + 1] = True
        if not counted.any():
            raise ValueError(f"template {self.name}: marks no answer as the assistant's")
        _check_seam(self.prompt(prompt), ids)
        last = np.flatnonzero(counted)[-1] + 1
        return Example(ids[:last], counted[:last])

    def _turns(self, messages: Sequence[Message], text: str) -> list[tuple[int, int]]:
        """Where the assistant's turns begin and end in the text of a dialogue."""
        turns = []
        for at, message in enumerate(messages):
            if message["role"] == "assistant":
                before = _unmarked(self._text(messages[:at], True))
                after = _unmarked(self._text(messages[: at + 1], False))
                if not after.startswith(before) or not text.startswith(after):
                    raise ValueError(
                        f"template {self.name}: a dialogue does not begin with the text of its turns before, so that "
                        "answers cannot be told apart; mark them with {% generation %}"
                    )
                turns.append((len(before), len(after)))
        return turns

    def _places(self, text: str, ids: Ids, cuts: list[int]) -> dict[int, int]:
        """The number of ids before each of some places in a text."""
        bounds = [0, *cuts, len(text)]
        parts = [self._encoder.ids(text[begin:end]) for begin, end in pairwise(bounds)]
        if np.array_equal(np.concatenate(parts), ids):
            return dict(zip(cuts, accumulate(map(len, parts)), strict=False))
        # Of tokenizers that encode the beginning of a text in another way.
        befores = [ids if at == len(text) else self._encoder.ids(text[:at]) for at in cuts]
        for before in befores:
            _check_seam(before, ids)
        return {at: len(before) for at, before in zip(cuts, befores, strict=True)}

    def _last_end(self, ids: Ids) -> int:
        return int(np.flatnonzero(ids == self.end)[-1])

    def _text(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        safe = [{"role": turn["role"], "content": self._encoder.broken(turn["content"])} for turn in messages]
        return self._renderer.render(safe, add_generation_prompt)

    def _probed(self, controls: Mapping[str, int], begin: str | None) -> int:
        """The control token behind an answer, after checks on a dialogue of two turns."""
        question, answer = Message(role="user", content="Who?"), Message(role="assistant", content="You.")
        try:
            before = _unmarked(self._text([question], True))
            after = _unmarked(self._text([question, answer], False))
        except ValueError as error:
            raise InputError(str(error)) from None
        if not after.startswith(before):
            raise InputError(f"template {self.name}: the text of a prompt is not where that of its answer begins")
        ends = [part for part in split_at(after[len(before) :], controls) if part in controls]
        if not ends:
            raise InputError(
                f"template {self.name}: no control token ends an answer, so that no model would learn to stop"
            )
        if begin and after.startswith(begin * 2):
            raise InputError(f"template {self.name}: writes {begin} twice")
        return controls[ends[0]]


class _Encoder:
    """Text to ids, in which control tokens come from the template alone."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._controls = tokenizer.controls
        self._ids = np.array(sorted(self._controls.values()), np.int32)
        names = sorted(self._controls, key=lambda name: (-len(name), name))
        self._written = re.compile("|".join(map(re.escape, names)) or "(?!)")

    def broken(self, content: str) -> str:
        """The text of a message, with what looks like a control token broken, so that the template's stay the only."""
        if any(mark in content for mark in _MARKS):
            raise LeftOut("reserved character in the text")
        if any(len(found[0]) == 1 for found in self._written.finditer(content)):
            raise LeftOut(CONTROL)
        return self._written.sub(lambda found: found[0][0] + _BREAK + found[0][1:], content)

    def plain(self, text: str) -> Ids:
        """The ids of a text that no template has written.

        Raises:
            LeftOut: a control token is among them.
        """
        ids = self._tokenizer.encode(text.encode()).astype(np.int32)
        if np.isin(ids, self._ids).any():
            raise LeftOut(CONTROL)
        return ids

    def ids(self, text: str) -> Ids:
        """The ids of a template's text.

        Raises:
            LeftOut: a message has the text of a control token, and the tokenizer does not encode what lies between
                control tokens by itself, so that it cannot be kept apart.
        """
        if _BREAK not in text:
            return self._tokenizer.encode_controls(text.encode()).astype(np.int32)
        same = text.replace(_BREAK, " ")
        if not np.array_equal(self._parts(same), self._tokenizer.encode_controls(same.encode())):
            raise LeftOut(CONTROL)
        return self._parts(text)

    def _parts(self, text: str) -> Ids:
        parts = [
            np.array([self._controls[part]], np.int32)
            if part in self._controls
            else self.plain(part.replace(_BREAK, ""))
            for part in split_at(text, self._controls)
        ]
        return np.concatenate([np.zeros(0, np.int32), *parts])


def _messages(prompt: Prompt) -> tuple[Message, ...]:
    return (Message(role="user", content=prompt),) if isinstance(prompt, str) else prompt


def _unmarked(text: str) -> str:
    return text.replace(BEGIN, "").replace(END, "")


def _spans(marked: str) -> list[tuple[int, int]]:
    """Where marked parts begin and end in a text without its marks."""
    spans: list[tuple[int, int]] = []
    at = 0
    for part in re.split(f"([{BEGIN}{END}])", marked):
        if part == BEGIN:
            begin = at
        elif part == END:
            spans.append((begin, at))
        else:
            at += len(part)
    return spans


def _check_seam(before: Ids, ids: Ids) -> None:
    if not np.array_equal(before, ids[: len(before)]):
        raise LeftOut(SEAM)
