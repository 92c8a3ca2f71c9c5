"""Each stage's own numbers, with their defaults."""

from dataclasses import dataclass
from typing import Any, Literal

from scaling.posttrain.config import StageConfig, StageName


@dataclass(frozen=True)
class SftSettings:
    """Supervised fine-tuning.

    Attributes:
        examples: how many different ones; the first of an order that does not depend on their number.
        epochs: passes over them.
    """

    examples: int
    epochs: float = 1.0


@dataclass(frozen=True)
class RewardSettings:
    """A reward model (2203.02155; margins and centring: 2307.09288, 2312.09244).

    Attributes:
        pairs: how many different ones; the first of an order that does not depend on their number.
        epochs: passes over them.
        margin: how much a rating's margin counts in the loss: ``none``, or Llama 2's ``small`` or ``large`` margins.
        centring: coefficient of the mean squared sum of the two scores.
        gold: name of the gold reward that labels pairs written by ``policy``; None for pairs from a file.
        raters: ``one``: a label by one rater drawn at random, who errs; ``all``: by the gold itself.
        held_out: pairs that accuracy and loss are measured on.
        kind: which pairs are used: ``all``, or those about ``helpfulness`` or ``safety`` alone.
    """

    pairs: int
    epochs: float = 1.0
    margin: Literal["none", "small", "large"] = "none"
    centring: float = 0.0
    gold: str | None = None
    raters: Literal["one", "all"] = "one"
    held_out: int = 1024
    kind: Literal["all", "helpfulness", "safety"] = "all"


@dataclass(frozen=True)
class BestOfNSettings:
    """Best-of-n (2112.09332), by the unbiased estimator over every n up to the answers of a prompt.

    Attributes:
        prompts: held-out prompts.
        n: answers of each.
        temperature: of the sampler.
        gold: name of the gold reward; None for proxies alone.
    """

    prompts: int = 96
    n: int = 128
    temperature: float = 1.0
    gold: str | None = None


@dataclass(frozen=True)
class PpoSettings:
    """PPO with a critic (1707.06347, 2203.02155).

    Attributes:
        iterations: rounds of sampling and updates.
        answers: sampled an iteration.
        epochs, minibatches: passes over an iteration's answers, and parts of each.
        clip: of the probability ratio, and of the values where ``clip_values``.
        kl: coefficient of the KL penalty, in the reward.
        lam, gamma: of generalised advantage estimation (1506.02438). A lambda below 1 with a fresh critic rewards short
            answers.
        value_rate: the critic's learning rates over the policy's.
        unfinished: taken off the reward of an answer that does not end.
        temperature: of the sampler and of the learner's probabilities.
        gold: name of the gold reward that is measured beside the proxy; None for proxies alone.
        measured: answers to held-out prompts by which an iteration is measured.
        every: iterations from one measurement to the next.
    """

    iterations: int = 40
    answers: int = 256
    epochs: int = 2
    minibatches: int = 2
    clip: float = 0.2
    clip_values: bool = True
    kl: float = 0.01
    lam: float = 1.0
    gamma: float = 1.0
    value_rate: float = 1.0
    unfinished: float = 1.0
    temperature: float = 1.0
    gold: str | None = None
    measured: int = 512
    every: int = 2


@dataclass(frozen=True)
class DpoSettings:
    """Direct preference optimisation (2305.18290), IPO (2310.12036), with Llama 3's NLL term (2407.21783).

    Attributes:
        pairs, epochs: as of a reward model.
        beta: of the implied reward.
        loss: ``sigmoid``, ``ipo`` or ``hinge``.
        nll: coefficient of the chosen answers' negative log-likelihood, per token.
        gold: name of the gold reward by which the policy, and pairs it has written, are measured.
        raters: as of a reward model.
        measured: answers to held-out prompts by which the policy is measured.
        measurements: how often, evenly over the run, its end included.
    """

    pairs: int
    epochs: float = 1.0
    beta: float = 0.1
    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    nll: float = 0.0
    gold: str | None = None
    raters: Literal["one", "all"] = "one"
    measured: int = 512
    measurements: int = 4


Settings = SftSettings | RewardSettings | BestOfNSettings | PpoSettings | DpoSettings
SETTINGS: dict[StageName, type[Any]] = {
    "sft": SftSettings,
    "reward": RewardSettings,
    "best_of_n": BestOfNSettings,
    "ppo": PpoSettings,
    "dpo": DpoSettings,
}


def settings_of(config: StageConfig) -> Any:
    """The settings of a run, as the class of its stage."""
    return SETTINGS[config.stage](**config.settings)
