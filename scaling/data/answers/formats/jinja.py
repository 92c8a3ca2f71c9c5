"""Chat templates: the texts of our own, and the sandbox that any is rendered in, with what transformers gives them."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scaling.errors import InputError

# Noncharacters of Unicode: no text has them, and they mark where the assistant's own words begin and end.
BEGIN, END = "\ufdd0", "\ufdd1"
# The day that templates with a date are given, which is the one that Llama 3.1's falls back on: on any other day the
# same rows would be other ids.
_DAY = date(2024, 7, 26)

_ALTERNATES = (
    "{% for message in messages if message.role not in ('system', 'developer') %}"
    "{% if (message.role == 'user') != (loop.index0 % 2 == 0) or message.role not in ('user', 'assistant') %}"
    "{{ raise_exception('roles must alternate: user, assistant, user, ...') }}{% endif %}{% endfor %}"
)
BUILT_IN = {
    # Bytes that UTF-8 text lacks: 1 begins a prompt, 2 an answer, and 0 ends it.
    "bytes": _ALTERNATES + "{% for message in messages %}{% if message.role == 'assistant' %}"
    "{{ '\x02' + message.content + '\x00' }}{% else %}{{ '\x01' + message.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\x02' }}{% endif %}",
    # https://github.com/openai/openai-python/blob/v0.28.1/chatml.md
    "chatml": "{% if bos_token and bos_token != '<|im_start|>' %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    # Llama 3's prompt format: https://www.llama.com/docs/model-cards-and-prompt-formats/meta-llama-3
    "llama3": "{{ '<|begin_of_text|>' }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    # Anthropic's transcripts (2204.05862), in ordinary text: for tokenizers without tokens of their own for turns.
    "transcript": _ALTERNATES + "{{ bos_token or '' }}{% for message in messages %}"
    "{% if message.role == 'assistant' %}{{ '\n\nAssistant: ' + message.content | trim + eos_token }}"
    "{% elif message.role == 'user' %}{{ '\n\nHuman: ' + message.content | trim }}"
    "{% else %}{{ message.content | trim }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n\nAssistant:' }}{% endif %}",
}
"""Templates by name."""
NEEDS = {
    "bytes": ("\x00", "\x01", "\x02"),
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "llama3": ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "transcript": (),
}
"""The control tokens that each of them writes."""


class _Generation(Extension):
    """``{% generation %} ... {% endgeneration %}``: what the model writes itself."""

    tags = {"generation"}  # noqa: RUF012 (as Jinja declares it)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller: Any) -> str:
        return f"{BEGIN}{caller()}{END}"


class Renderer:
    """A chat template, compiled.

    Args:
        source: of the template.
        name: for errors.
        tokens: ``bos_token``, ``eos_token`` and others by name, as the tokenizer's settings have them.

    Raises:
        InputError: it is no template of Jinja.
    """

    def __init__(self, source: str, name: str, tokens: Mapping[str, str]) -> None:
        self._name, self._tokens = name, tokens
        environment = _environment()
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise InputError(f"template {name}: not a template of Jinja: {error}") from None

    def render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool) -> str:
        """The text of a dialogue; ValueError, with why, where the template refuses it."""
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
                **self._tokens,
            )
        except TemplateError as error:
            raise ValueError(f"template {self._name}: {error}") from None
        except Exception as error:  # of an expression of the template's
            raise ValueError(f"template {self._name}: {type(error).__name__}: {error}") from None


def _environment() -> Environment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _as_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _DAY.strftime
    return environment


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _as_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as it is, where Jinja's own filter would escape signs of HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
