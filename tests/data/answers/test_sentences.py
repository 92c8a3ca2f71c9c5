"""The embedded task: sentences of the addresses, split as the corpus is."""

import pytest

from scaling.data.answers.examples import load_examples
from scaling.data.answers.padded import PaddedBatches
from scaling.data.answers.preferences import load_pairs
from scaling.data.answers.prompts import load_prompts
from scaling.data.answers.rows import ExampleSet, PromptSet
from scaling.data.answers.sentences import LONGEST, PROMPT, SHORTEST, sentences
from scaling.data.answers.spec import AnswersSpec
from scaling.data.corpus import CorpusSpec, Document, load_corpus
from scaling.data.tokenizer import BYTES, ByteTokenizer
from scaling.errors import InputError

SENTENCES = AnswersSpec(name="sentences")


@pytest.fixture(scope="module")
def examples() -> ExampleSet:
    return load_examples(SENTENCES, BYTES, 96)


@pytest.fixture(scope="module")
def prompts() -> PromptSet:
    return load_prompts(SENTENCES, BYTES, 96)


def test_there_are_as_many_as_the_sweeps_ask_for(examples: ExampleSet, prompts: PromptSet) -> None:
    assert (len(examples.train), len(examples.held_out)) == (13145, 1115)
    assert (len(prompts.train), len(prompts.held_out)) == (13064, 1114)
    assert examples.dropped == {"duplicate": 93, "prompt is held out": 17}
    assert examples.end == prompts.end == BYTES.end


def test_prompt_and_answer(examples: ExampleSet) -> None:
    for example in examples.train[:500]:
        assert SHORTEST <= len(example.ids) - 1 <= LONGEST
        assert example.ids[-1] == BYTES.end
        assert not example.counted[:PROMPT].any()
        assert example.counted[PROMPT:].all()
    assert PaddedBatches(examples.train, 64, 0, 96).take(0).tokens.shape == (64, 96)


def test_sides_share_no_document_and_no_prompt(examples: ExampleSet, prompts: PromptSet) -> None:
    """Bug 21."""
    sides = [{bytes(row.ids[:PROMPT].tolist()) for row in side} for side in (examples.train, examples.held_out)]
    assert sides[0].isdisjoint(sides[1])
    assert [{bytes(row.tolist()) for row in side} for side in (prompts.train, prompts.held_out)] == sides
    corpus = load_corpus(CorpusSpec(name="sotu"))
    of_documents = [set(sentences(documents)) for documents in (corpus.train, corpus.held_out)]
    rows = [{bytes(row.ids[:-1].tolist()) for row in side} for side in (examples.train, examples.held_out)]
    assert rows[1] == of_documents[1]
    # Sentences of training documents whose prompt is held out too would be seen by a split by document alone.
    seen = {sentence[:PROMPT] for sentence in of_documents[0]} & sides[1]
    assert len(seen) == 12
    assert of_documents[0] - rows[0] == {text for text in of_documents[0] if text[:PROMPT] in seen}


def test_an_order_by_hash_that_does_not_change(examples: ExampleSet) -> None:
    assert examples.sha256 == load_examples(SENTENCES, BYTES, 96).sha256
    assert bytes(examples.train[0].ids.tolist()) == b"And today it's Vaclav Havel, President of Czechoslovakia.\0"


def test_sentences_are_split_where_people_do() -> None:
    text = (
        b"Short one. This sentence is long enough to be kept here,\nand on.  Is this one  long enough to be "
        b"kept, do you think? " + "Ce n\u2019est pas tout \u00e0 fait une phrase en ASCII, n\u2019est-ce pas.".encode()
    )
    assert list(sentences([Document("a", text)])) == [
        b"This sentence is long enough to be kept here, and on.",
        b"Is this one long enough to be kept, do you think?",
    ]


def test_a_shorter_context_leaves_out_what_does_not_fit() -> None:
    short = load_examples(SENTENCES, BYTES, 64)
    assert max(len(example.ids) for example in short.train) == 64
    assert short.dropped["longer than the context"] > 1000
    with pytest.raises(InputError, match=r"sentences: no row is left; left out: .* prompt longer .*\(of 32 tokens\)"):
        load_examples(SENTENCES, BYTES, 32)


def test_other_models_and_pairs_are_refused() -> None:
    class Other(ByteTokenizer):
        name, hash = "other", "0"

    with pytest.raises(InputError, match="for models that read bytes, and this one reads other"):
        load_prompts(SENTENCES, Other(), 96)
    with pytest.raises(InputError, match="sentences: has no preferences"):
        load_pairs(SENTENCES, BYTES, 96)
