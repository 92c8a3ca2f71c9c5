"""Rows of TRL's formats, Anthropic's transcripts and UltraFeedback as prompts and answers."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from scaling.data.answers.spec import COLUMNS, AnswersSpec
from scaling.data.formats.streams import listed

Wanted = Literal["examples", "preferences", "prompts"]
ROLES = ("system", "developer", "user", "assistant", "tool")
_OTHER_ROLES = {"human": "user", "gpt": "assistant"}  # as ShareGPT calls them
_TURN = re.compile(r"\n\n(Human|Assistant):")
_ANSWER = "\n\nAssistant:"
# Llama 2's raters (2307.09288), as numbers.
_WORDS = {"significantly better": 3, "better": 2, "slightly better": 1, "negligibly better": 0, "unsure": 0}
_WORDS["negligibly better / unsure"] = _WORDS["negligibly better/unsure"] = 0
_MOST = 3.0
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
        self._names = {column: spec.columns.get(column, column) for column in COLUMNS}
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
            return self._are("messages", messages[:-1] if messages[-1]["role"] == "assistant" else messages)
        return self._are("prompt", _prompt(row["prompt"]))

    def _columns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of what is wanted, under our names."""
        used = _USED[self._wanted]
        row: dict[str, Any] = {name: values.get(theirs) for name, theirs in self._names.items() if name in used}
        row = {name: value for name, value in row.items() if value is not None}
        if not any(columns <= row.keys() for columns in _NEEDED[self._wanted]):
            needed = ", or ".join(" and ".join(sorted(columns)) for columns in _NEEDED[self._wanted])
            found = listed(sorted(map(str, values)))
            raise NoColumns(f"no {needed}; it has {found}: say which with columns: {{OURS: THEIRS}}")
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
            return _rating(_value(values, self._spec.margin, "margin"), self._spec.margin)
        if not {"score_chosen", "score_rejected"} <= row.keys():
            return None
        better, worse = (_number(row[name], name) for name in ("score_chosen", "score_rejected"))
        if better < worse:
            raise ValueError(f"score_chosen is below score_rejected; they are {better:g} and {worse:g}")
        return min(better - worse, _MOST)

    def _safety(self, values: Mapping[str, Any]) -> bool:
        column = self._spec.safety
        if column is None:
            return False
        value = _value(values, column, "safety")
        word = value.strip().lower() if isinstance(value, str) else value
        if word in (True, "true", "yes", "1"):
            return True
        if word in (False, "false", "no", "0", ""):
            return False
        raise ValueError(f"'{column}' is not true or false; it is {value!r:.40}")


def _value(values: Mapping[str, Any], column: str, option: str) -> Any:
    if values.get(column) is None:
        raise ValueError(f"no '{column}', which {option} names; the row has {listed(sorted(map(str, values)))}")
    return values[column]


def _rating(value: Any, column: str) -> float:
    if isinstance(value, str):
        word = " ".join(value.lower().replace("_", " ").replace("-", " ").split())
        if word in _WORDS:
            return float(_WORDS[word])
    number = _number(value, column)
    if not 0 <= number <= _MOST:
        raise ValueError(f"'{column}' is not between 0 and 3; it is {number:g}")
    return number


def _number(value: Any, column: str) -> float:
    try:
        if not isinstance(value, bool) and math.isfinite(number := float(value)):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"'{column}' is no number and no rating such as 'slightly better'; it is {value!r:.40}")


def _text(value: Any, column: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"'{column}' is no text but a {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{column}' has half a surrogate pair, which is no character") from None
    return value


def _messages(value: Any, column: str) -> tuple[Message, ...]:
    """A list of messages, checked one by one; ShareGPT's ``from`` and ``value`` are taken too."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ValueError(f"'{column}' is no list of messages")
    messages: list[Message] = []
    for number, each in enumerate(value, 1):
        where = f"{column}[{number}]"
        if not isinstance(each, Mapping):
            raise ValueError(f"'{where}' is no message but a {type(each).__name__}")
        role, content = each.get("role", each.get("from")), each.get("content", each.get("value"))
        role = _OTHER_ROLES.get(str(role), role)
        if role not in ROLES:
            raise ValueError(f"'{where}' has a role that is none of {', '.join(ROLES)}; it is {role!r:.40}")
        text = _text(content, f"{where}.content")
        if not text.strip() and role in ("user", "assistant"):
            raise ValueError(f"'{where}' of the {role} is empty")
        messages.append({"role": str(role), "content": text})
    return tuple(messages)


def _prompt(value: Any) -> Prompt:
    if not isinstance(value, str) and isinstance(value, Sequence):
        messages = _messages(value, "prompt")
        if messages[-1]["role"] == "assistant":
            raise ValueError("'prompt' ends with a message of the assistant, which is to be answered")
        return messages
    text = _text(value, "prompt")
    if not text.strip():
        raise ValueError("'prompt' is empty")
    return text


def _answer(value: Any, column: str) -> str:
    if isinstance(value, str):
        if not value.strip():
            raise ValueError(f"'{column}' is empty")
        return _text(value, column)
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
    if isinstance(sides[0], str) != isinstance(sides[1], str):
        raise ValueError("of 'chosen' and 'rejected' one is text, and the other messages")
    if isinstance(sides[0], str):
        if prompt is not None:
            given = _prompt(prompt)
            return given, _answer(sides[0], "chosen"), _answer(sides[1], "rejected")
        return _transcripts(_text(sides[0], "chosen"), _text(sides[1], "rejected"))
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
