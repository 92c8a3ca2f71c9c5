"""A run of PPO small enough to take a second an iteration."""

from collections.abc import Callable
from pathlib import Path

from posttraining import tiny_rewards

from scaling.data.answers.rows import PromptSet
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.config import Source, StageConfig, StageRecipe
from scaling.posttrain.stage import Model, StageRun
from scaling.train.recipe import Rates, Schedule

START = tiny_rewards.make_model(scale=2.0)
REWARD = tiny_rewards.make_model(seed=1, score=True)
GOLD = tiny_rewards.make_model(seed=2, score=True)
SETTINGS = {"answers": 16, "minibatches": 2, "epochs": 2, "measured": 16, "every": 2, "gold": "run"}


def ppo_run(
    folder: Path,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    *,
    steps: int = 3,
    rate: float = 1e-3,
    checkpoint_s: tuple[float, float] = tiny_rewards.NEVER,
    execution: Execution = PLAIN,
    models: dict[str, Model] | None = None,
    data: PromptSet | None = None,
    **settings: object,
) -> StageRun:
    """A run of the stage ``ppo`` from models by their parts, over those given here."""
    sources = {"start": START, "reward": REWARD, "gold": GOLD, **(models or {})}
    recipe = StageRecipe("tiny", 8, Rates(*[rate] * 8), 0.0, 0.9, 0.95, 1.0, Schedule("wsd", 0.1, 1.0, 1.0))
    config = StageConfig(
        stage="ppo",
        model=sources["start"].config,
        sources={part: Source(part, part, model.config) for part, model in sources.items()},
        data={},
        settings={**SETTINGS, **settings},
        recipe=recipe,
        steps=steps,
        flops=1,
        seed=0,
    )
    prompts = tiny_rewards.make_prompts() if data is None else data
    return StageRun(config, prompts, sources.__getitem__, folder / "checkpoints", checkpoint_s, report, execution)
