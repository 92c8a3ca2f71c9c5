"""``scaling sample``: text from a trained model."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import collected, emit, emit_plain, json_option
from scaling.cli.folders import SWEEP_FOLDER
from scaling.errors import InputError

if TYPE_CHECKING:
    from scaling.api.answers.best_answers import BestAnswers
    from scaling.api.answers.samples import Speaker

HELP = """Print answers of a trained model, with their log-probabilities and rewards.

RUN is the folder of a run that is done, of pre-training or of a stage after it, runs/NAME/runs/ID; that of a sweep,
for its target run; or one that `scaling import` has made. A prompt is text, written as the rows that the model was
trained on were; --chat keeps a dialogue: each line of the standard input is a message of the user.

--prompts writes the best finished answer of --best-of to each prompt of a file (rows as `data` of a stage has them)
as examples to fine-tune on: rejection sampling.

With --json: run, prompt, best_of, answers (text, tokens, logprob in nats, stopped, reward), mean_reward of all that
were drawn, sampler_difference (null but for vllm); of a dialogue, messages; with --prompts run, best_of, output,
written, unfinished, dropped, mean_reward, chosen_reward.

\b
Examples:
  scaling sample runs/chat/sft --prompt "The state of our Union is "
  scaling sample runs/chat/sft --prompt "We must " --best-of 16 --reward runs/chat/reward --json
  scaling sample runs/chat/sft --prompts prompts.jsonl --best-of 16 --reward runs/chat/reward -o best.jsonl
  scaling sample runs/imported/Llama-3.2-1B-Instruct --chat --temperature 0.7
"""


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    run: Path
    prompt: str | None
    chat: bool
    prompts: Path | None
    output: Path | None
    count: int
    best_of: int
    reward: Path | None
    temperature: float
    top_p: float
    max_tokens: int | None
    seed: int
    template: str | None
    sampler: str


@click.command(help=HELP)
@click.argument("run", metavar="RUN", type=SWEEP_FOLDER)
@click.option("--prompt", metavar="TEXT", help="What the model is to go on with.")
@click.option("--chat", is_flag=True, help="Instead: a dialogue, a line of the standard input a message.")
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Instead: the prompts of a file; the best answers are written to -o.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="JSON lines, with --prompts.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="Answers.")
@click.option(
    "--best-of",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    show_default=True,
    help="Answers that each one printed is the best of, by --reward.",
)
@click.option("--reward", type=SWEEP_FOLDER, metavar="RUN", help="A reward model, which scores every answer.")
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="What the logits are divided by; 0 takes the likeliest token.",
)
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Draw from the fewest tokens that together have this probability.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    metavar="N",
    help="Tokens of an answer.  [default: 256, or what the context has room for]",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same gives the same answers.")
@click.option(
    "--template",
    metavar="NAME|FILE",
    help="How messages are written: bytes, chatml, llama3, transcript, plain, or a file of Jinja.  [default: the "
    "model's own]",
)
@click.option(
    "--sampler",
    type=click.Choice(["jax", "vllm"]),
    default="jax",
    show_default=True,
    help="vllm needs a GPU and that package; its answers are scored again here.",
)
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Samples, and prints the answers."""
    _check(request)
    if request.prompts is not None:
        emit(_written(request, request.prompts), as_json)
        return
    from scaling.api.answers.samples import Speaker

    speaker = Speaker(
        request.run, request.reward, chat=request.chat, template=request.template, sampler=request.sampler
    )
    if request.prompt is None:
        _talk(speaker, request, as_json)
    else:
        emit(speaker.answer(request.prompt, count=request.count, **_options(request, request.seed)), as_json)


def _check(request: Request) -> None:
    """Refuses options that do not go together."""
    if (request.prompt is not None) + request.chat + (request.prompts is not None) != 1:
        raise InputError("needs one of `prompt`, `chat` and `prompts`")
    if request.prompt is None and request.count > 1:
        raise InputError("`count`: is of answers to `prompt`; others have one each")
    if (request.prompts is None) != (request.output is None):
        raise InputError("`prompts` and `output` go together")
    if request.prompts is not None and request.reward is None:
        raise InputError("`prompts` needs a `reward`, the reward model that chooses")
    if request.prompts is not None and request.sampler != "jax":
        raise InputError("`prompts`: its answers are of the sampler jax")


def _written(request: Request, prompts: Path) -> "BestAnswers":
    from scaling.api.answers.best_answers import write_best

    assert request.output is not None
    assert request.reward is not None
    options = {**_options(request, request.seed), "template": request.template}
    return write_best(request.run, prompts, request.output, reward=request.reward, **options)


def _options(request: Request, seed: int) -> dict[str, Any]:
    return {
        "best_of": request.best_of,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        "seed": seed,
    }


def _talk(speaker: "Speaker", request: Request, as_json: bool) -> None:
    """Answers line after line; as JSON the dialogue is printed at its end."""
    messages: list[Any] = []
    said: list[dict[str, Any]] = []
    for turn, line in enumerate(sys.stdin):
        if not line.strip():
            continue
        messages.append({"role": "user", "content": line.rstrip("\r\n")})
        (answer,) = speaker.answer(tuple(messages), **_options(request, request.seed + turn)).answers
        messages.append({"role": "assistant", "content": answer.text})
        said += [
            messages[-2],
            {**messages[-1], **{name: value for name, value in vars(answer).items() if name != "text"}},
        ]
        if not as_json:
            click.echo(answer.text)
    if as_json:
        emit_plain({"messages": said, "warnings": []}, as_json, "")
