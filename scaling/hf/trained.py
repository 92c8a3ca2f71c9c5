"""A trained or an imported model to sample from or to score with: its parameters, its tokenizer, and its template."""

from dataclasses import dataclass
from pathlib import Path

from scaling.data.answers.template_files import find_template
from scaling.data.answers.templates import Template
from scaling.data.corpus import CorpusSpec
from scaling.data.tokenizer import Tokenizer
from scaling.errors import InputError
from scaling.hf.folder import load_model, run_of
from scaling.hf.kept import MODEL
from scaling.posttrain.config import SCORE, StageConfig
from scaling.posttrain.stage import Model
from scaling.sweep.stages.data import tokenizer_of, tokenizer_place
from scaling.train.config import RunConfig

_PLAIN = "plain"


@dataclass(frozen=True)
class Trained:
    """A model that is done.

    Attributes:
        place: its folder, for messages.
        model: its shape and parameters.
        tokenizer: of its ids.
        beside: the folder that the tokenizer is from; None for bytes.
        template: by which its rows were written, as its data names it: ``plain`` for text as it is, None for that of
            the tokenizer.
    """

    place: Path
    model: Model
    tokenizer: Tokenizer
    beside: Path | None
    template: str | None

    @property
    def scores(self) -> bool:
        """Whether it is a reward model."""
        return SCORE in self.model.parameters

    def writes(self, chat: bool, name: str | None = None) -> Template:
        """The template of prompts: of a chat's messages, or of text as the model's own rows were written.

        Args:
            chat: whether prompts are messages.
            name: of another template than its own.

        Raises:
            InputError: there is none for messages.
        """
        own = self.template if name is None else name
        return find_template(None if chat and own == _PLAIN else own, self.tokenizer, self.beside, text=not chat)


def open_trained(place: Path) -> Trained:
    """Reads a model.

    Args:
        place: a run's folder, of pre-training or a stage after it; that of a sweep with one target run, which is meant
            then; or that of an imported model.

    Raises:
        InputError: there is none, it is not done, its parameters were not kept, or its tokenizer is not there.
    """
    if (place / MODEL).exists():
        shape, parameters = load_model(place)
        return Trained(place, Model(shape, parameters), tokenizer_of(str(place)), place, _PLAIN)
    run = run_of(place)
    config = run.config()
    folder, template = _written_by(config)
    tokenizer = tokenizer_of(folder)
    made = config.data["tokenizer"] if isinstance(config, StageConfig) else config.data.tokenizer
    if tokenizer.hash != made["hash"]:
        raise InputError(f"{folder}: its tokenizer {tokenizer.name} is not the run's, {made['name']}")
    beside = None if folder is None else Path(folder).expanduser()
    return Trained(place, Model(config.model, run.parameters()), tokenizer, beside, template)


def _written_by(config: RunConfig | StageConfig) -> tuple[str | None, str | None]:
    """The folder of a run's tokenizer, and the name of its template."""
    if isinstance(config, StageConfig):
        answers = config.data["answers"]
        return config.data["tokenizer"]["place"], _PLAIN if answers.get("name") else answers.get("template")
    return tokenizer_place(CorpusSpec.model_validate(config.data.corpus).path), _PLAIN
