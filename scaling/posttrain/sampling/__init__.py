"""Sampling: prompts to answers with their log-probabilities, which are held against the learner's."""

from scaling.posttrain.sampling.answers import Answers
from scaling.posttrain.sampling.mismatch import Difference, check_logprobs, learner_logprobs, logprobs_difference
from scaling.posttrain.sampling.sampler import sample

__all__ = ["Answers", "Difference", "check_logprobs", "learner_logprobs", "logprobs_difference", "sample"]
