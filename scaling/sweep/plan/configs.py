"""The config of a run, of pre-training or of a stage after it."""

import json
from typing import Protocol, TypeAlias, runtime_checkable

from scaling.errors import InputError
from scaling.posttrain.config import StageConfig, read_stage_config
from scaling.train.config import RunConfig, read_config

AnyConfig: TypeAlias = RunConfig | StageConfig


@runtime_checkable
class Planned(Protocol):
    """A run with its role in a sweep, ``fit`` or ``target``."""

    @property
    def config(self) -> AnyConfig: ...

    @property
    def role(self) -> str: ...

    @property
    def id(self) -> str: ...


def read_any_config(text: str, where: str) -> AnyConfig:
    """A config from its JSON; InputError, naming ``where``, if it is none."""
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if isinstance(content, dict) and "stage" in content:
        return read_stage_config(text, where)
    return read_config(text, where)


def pretraining(config: AnyConfig, where: object) -> RunConfig:
    """The config of a run of pre-training; InputError, naming ``where``, for that of a stage."""
    if isinstance(config, StageConfig):
        raise InputError(f"{where}: a run of the stage {config.stage}, not of pre-training")
    return config
