"""Dialogues are scored by a reward model as it was trained on them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, make_model

from scaling.data.answers.preferences import load_pairs
from scaling.data.answers.spec import AnswersSpec
from scaling.data.answers.template_files import find_template
from scaling.data.tokenizer import BYTES
from scaling.posttrain.rewards.rewarding import RewardScorer
from scaling.posttrain.stage import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model(score=True)


@pytest.mark.parametrize("template", ["bytes", "transcript", "plain"])
def test_a_dialogue_is_scored_as_it_was_trained(template: str, model: Model, tmp_path: Path) -> None:
    """Bug 9, through templates: what a caller renders has the scores of the rows that the file's loader made."""
    questions = [f"Who {letter}?" for letter in "abcdefgh"]

    def turn(role: str, text: str) -> Any:
        return text if template == "plain" else [{"role": role, "content": text}]

    with (tmp_path / "pairs.jsonl").open("w") as file:
        for question in questions:
            sides = {"chosen": turn("assistant", "I."), "rejected": turn("assistant", "You all.")}
            file.write(json.dumps({"prompt": turn("user", question), **sides}) + "\n")
    spec = AnswersSpec(path=str(tmp_path / "pairs.jsonl"), template=template, held_out=0.5)
    pairs = load_pairs(spec, BYTES, MODEL.seq_len)
    trained = [
        np.concatenate([pair.prompt, side])
        for pair in sorted((*pairs.train, *pairs.held_out), key=lambda pair: pair.prompt.tobytes())
        for side in (pair.chosen, pair.rejected)
    ]
    rendered, scorer = find_template(template, BYTES, None, template == "plain"), RewardScorer(model)
    asked = [(question, answer) for question in questions for answer in ("I.", "You all.")]
    own = [rendered.answered(question, answer).ids for question, answer in asked]
    scores = scorer.score_rows(trained)
    np.testing.assert_array_equal(scores, scorer.score_rows(own))
    # Faults, seeded: another template; and the template's text without its end.
    other = find_template("transcript" if template == "bytes" else "bytes", BYTES, None, False)
    wrong = [other.answered(question, answer).ids for question, answer in asked]
    for fault in (wrong, [ids[:-1] for ids in own]):
        assert np.abs(scorer.score_rows(fault) - scores).min() > 1e-4
