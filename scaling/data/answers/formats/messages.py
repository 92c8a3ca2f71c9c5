"""Rows of TRL's formats, Anthropic's transcripts and UltraFeedback as prompts and answers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from scaling.data.answers.formats.values import MOST, content_of, number_of, rating_of, text_of, truth_of
from scaling.data.answers.spec import COLUMNS, AnswersSpec
from scaling.data.formats.streams import kind_of, listed

Wanted = Literal["examples", "preferences", "prompts"]
ROLES = ("system", "developer", "user", "assistant", "tool")
_OTHER_ROLES = {"human": "user", "gpt": "assistant"}  # as ShareGPT calls them
_CALLS = ("tool_calls", "function_call")  # of tools, which templates would write beside the content
_TURN = re.compile(r"\n\n(Human|Assistant):")
_ANSWER = "\n\nAssistant:"
_PAIR = frozenset({"chosen", "rejected"})
# Columns that make a row, one set of them at least, and those that are looked at.
_NEEDED: dict[Wanted, tuple[frozenset[str], ...]] = {
    "examples": (frozenset({"messages"}), frozenset({"prompt", "completion"})),
    "preferences": (_PAIR,),
    "prompts": (frozenset({"prompt"}), frozenset({"messages"}), _PAIR),
}
_USED: dict[Wanted, set[str]] = {
    "examples": {"messages", "prompt", "completion"},
    "preferences": {"prompt", "score_chosen", "score_rejected", *_PAIR},
    "prompts": {"prompt", "messages", *_PAIR},
}


class NoColumns(ValueError):
    """A row without the columns that make one."""


class Message(TypedDict):
    """A turn of a dialogue."""

    role: str
    content: str


Prompt = str | tuple[Message, ...]


@dataclass(frozen=True)
class Answered:
    """A prompt and its answer.

    Attributes:
        prompt: text that the answer goes on with, or messages.
        answer: text.
    """

    prompt: Prompt
    answer: str


@dataclass(frozen=True)
class Compared:
    """Two answers to a prompt; attributes as of ``scaling.data.answers.rows.Pair``, in text."""

    prompt: Prompt
    chosen: str
    rejected: str
    rating: float | None
    safety: bool


class RowParser:
    """Parses rows, which all have the format of the first.

    Args:
        spec: how the columns are called.
        wanted: what the rows are to be.
    """

    def __init__(self, spec: AnswersSpec, wanted: Wanted) -> None:
        self._spec, self._wanted = spec, wanted
        self._names: dict[str, str] = {column: spec.columns.get(column, column) for column in COLUMNS}
        self._format: str | None = None

    def example(self, values: Mapping[str, Any]) -> Answered:
        """A row of ``messages``, or of ``prompt`` and ``completion``; ValueError, with why, if it is none."""
        row = self._columns(values)
        if "messages" in row:
            messages = self._are("messages", _messages(row["messages"], "messages"))
            return Answered(*_answered(messages, "messages"))
        prompt = _prompt(row["prompt"])
        answer = _answer(row["completion"], "completion")
        if isinstance(prompt, str) and not isinstance(row["completion"], str):
            prompt = (Message(role="user", content=prompt),)
        return Answered(self._are("prompt and completion", prompt), answer)

    def pair(self, values: Mapping[str, Any]) -> Compared:
        """A row of ``chosen`` and ``rejected``, and maybe ``prompt``; ValueError, with why, if it is none."""
        row = self._columns(values)
        prompt, chosen, rejected = _compared(row)
        if chosen.strip() == rejected.strip():
            raise ValueError("chosen and rejected are equal")
        kind = "prompt, chosen and rejected" if "prompt" in row else "chosen and rejected"
        self._are(kind, prompt)
        return Compared(prompt, chosen, rejected, self._rating(values, row), self._safety(values))

    def prompt(self, values: Mapping[str, Any]) -> Prompt:
        """The prompt of a row of any format; ValueError, with why, if it has none."""
        row = self._columns(values)
        if row.keys() >= _PAIR:
            return self._are("chosen and rejected", _compared(row)[0])
        if "messages" in row:
            messages = _messages(row["messages"], "messages")
            answered = messages[-1]["role"] == "assistant"
            return self._are("messages", _answered(messages, "messages")[0] if answered else messages)
        return self._are("prompt", _prompt(row["prompt"]))

    def _columns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of what is wanted, under our names."""
        used = _USED[self._wanted]
        row: dict[str, Any] = {name: values.get(theirs) for name, theirs in self._names.items() if name in used}
        row = {name: value for name, value in row.items() if value is not None}
        found = f"it has {listed(sorted(map(str, values)))}"
        for name, theirs in self._spec.columns.items():
            if name in used and theirs not in values:
                raise NoColumns(f"no '{theirs}', which columns names for {name}; {found}")
        needed = _NEEDED[self._wanted]
        if not any(columns <= row.keys() for columns in needed):
            for columns in needed:
                absent = sorted(self._names[name] for name in columns - row.keys())
                if all(theirs in values for theirs in absent):
                    raise ValueError(f"'{absent[0]}' is null")
            either = ", or ".join(" and ".join(sorted(columns)) for columns in needed)
            raise NoColumns(f"no {either}; {found}: say which with columns: {{OURS: THEIRS}}")
        return row

    def _are(self, columns: str, prompt: Any) -> Any:
        """The prompt, if the row has the format of those before it."""
        kind = "text" if isinstance(prompt, str) else "messages"
        format = columns if columns == kind else f"{columns} of {kind}"
        if self._format is None:
            self._format = format
        if format != self._format:
            raise ValueError(f"a row of {format}, and the rows began with {self._format}")
        return prompt

    def _rating(self, values: Mapping[str, Any], row: Mapping[str, Any]) -> float | None:
        if self._spec.margin is not None:
            return rating_of(_value(values, self._spec.margin, "margin"), self._spec.margin)
        if not {"score_chosen", "score_rejected"} <= row.keys():
            return None
        better, worse = (number_of(row[name], name) for name in ("score_chosen", "score_rejected"))
        if better < worse:
            raise ValueError(f"score_chosen is below score_rejected; they are {better:g} and {worse:g}")
        return min(better - worse, MOST)

    def _safety(self, values: Mapping[str, Any]) -> bool:
        column = self._spec.safety
        return False if column is None else truth_of(_value(values, column, "safety"), column)


def _value(values: Mapping[str, Any], column: str, option: str) -> Any:
    if column in values and values[column] is None:
        raise ValueError(f"'{column}' is null, which {option} names")
    if column not in values:
        raise ValueError(f"no '{column}', which {option} names; the row has {listed(sorted(map(str, values)))}")
    return values[column]


def _messages(value: Any, column: str) -> tuple[Message, ...]:
    """A list of messages, checked one by one; ShareGPT's ``from`` and ``value`` are taken too."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"'{column}' is no list of messages but {kind_of(value)}")
    if not value:
        raise ValueError(f"'{column}' is a list without messages")
    messages: list[Message] = []
    for number, each in enumerate(value, 1):
        where = f"{column}[{number}]"
        if not isinstance(each, Mapping):
            raise ValueError(f"'{where}' is no message but {kind_of(each)}")
        if called := [key for key in _CALLS if each.get(key)]:
            raise ValueError(f"'{where}' has {called[0]}, which nothing here is trained on")
        role, content = each.get("role", each.get("from")), each.get("content", each.get("value"))
        role = _OTHER_ROLES.get(str(role), role)
        if role not in ROLES:
            raise ValueError(f"'{where}' has a role that is none of {', '.join(ROLES)}; it is {role!r:.40}")
        text = content_of(content, f"{where}.content")
        if not text.strip() and role in ("user", "assistant"):
            raise ValueError(f"'{where}' of the {role} is empty")
        messages.append({"role": str(role), "content": text})
    return tuple(messages)


def _prompt(value: Any) -> Prompt:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        messages = _messages(value, "prompt")
        if messages[-1]["role"] == "assistant":
            raise ValueError("'prompt' ends with a message of the assistant, which is to be answered")
        return messages
    text = text_of(value, "prompt")
    if not text.strip():
        raise ValueError("'prompt' is empty")
    return text


def _answer(value: Any, column: str) -> str:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        text = text_of(value, column)
        if not text.strip():
            raise ValueError(f"'{column}' is empty")
        return text
    messages = _messages(value, column)
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        roles = ", ".join(message["role"] for message in messages)
        raise ValueError(f"'{column}' is not one message of the assistant; it has {roles}")
    return messages[0]["content"]


def _answered(messages: tuple[Message, ...], column: str) -> tuple[tuple[Message, ...], str]:
    """Messages as those before the last, and the text of the last, which is the assistant's."""
    if messages[-1]["role"] != "assistant":
        missing = "" if any(message["role"] == "assistant" for message in messages) else ", and there is none"
        raise ValueError(f"'{column}' does not end with a message of the assistant{missing}")
    if len(messages) == 1:
        raise ValueError(f"'{column}' has nothing before the assistant's message")
    return messages[:-1], messages[-1]["content"]


def _compared(row: Mapping[str, Any]) -> tuple[Prompt, str, str]:
    """The prompt, and the text of both answers."""
    sides, prompt = [row["chosen"], row["rejected"]], row.get("prompt")
    texts = [isinstance(side, str | bytes) for side in sides]
    if texts[0] != texts[1]:
        raise ValueError("of 'chosen' and 'rejected' one is text, and the other is not")
    if texts[0]:
        if prompt is not None:
            given = _prompt(prompt)
            return given, _answer(sides[0], "chosen"), _answer(sides[1], "rejected")
        return _transcripts(text_of(sides[0], "chosen"), text_of(sides[1], "rejected"))
    chosen, rejected = (_messages(side, name) for side, name in zip(sides, ("chosen", "rejected"), strict=True))
    if prompt is not None and len(chosen) == len(rejected) == 1:
        given = _prompt(prompt)
        before = (Message(role="user", content=given),) if isinstance(given, str) else given
        return before, _answer(sides[0], "chosen"), _answer(sides[1], "rejected")
    if chosen == rejected:
        raise ValueError("chosen and rejected are equal")
    (before, better), (other, worse) = _answered(chosen, "chosen"), _answered(rejected, "rejected")
    if before != other:
        raise ValueError("chosen and rejected differ before their last messages")
    return before, better, worse


def _transcripts(chosen: str, rejected: str) -> tuple[Prompt, str, str]:
    """Two transcripts of Anthropic's, which differ behind the last ``Assistant:`` alone."""
    # The two line ends before the first turn may be gone, and others those of Windows.
    chosen, rejected = ("\n\n" + text.lstrip().replace("\r\n", "\n") for text in (chosen, rejected))
    if _ANSWER not in chosen or _ANSWER not in rejected:
        raise ValueError("no 'prompt', and 'chosen' and 'rejected' are no transcripts with Human: and Assistant:")
    (before, _, better), (other, _, worse) = (text.rpartition(_ANSWER) for text in (chosen, rejected))
    if before != other:
        raise ValueError("chosen and rejected differ before their last turns")
    if _TURN.search(better) or _TURN.search(worse):
        raise ValueError("a transcript does not end with a turn of the assistant")
    first, *turns = _TURN.split(before)
    if first.strip() or not turns:
        raise ValueError("a transcript does not begin with Human:")
    names = {"Human": "user", "Assistant": "assistant"}
    messages = [
        {"role": names[name], "content": text.strip()} for name, text in zip(turns[::2], turns[1::2], strict=True)
    ]
    prompt = _messages(messages, "transcript")
    return prompt, _answer(better.strip(), "chosen"), _answer(worse.strip(), "rejected")


def opening(prompt: Prompt) -> str:
    """What the user says first, by whose hash a row is on one side of the split."""
    if isinstance(prompt, str):
        return prompt
    return next((message["content"] for message in prompt if message["role"] == "user"), prompt[0]["content"])
