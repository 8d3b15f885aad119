"""The cross-encoder judge: rules are true of their text, features see letters, training learns, the judge answers."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autointerp.__main__ import main
from autointerp.errors import StudyError
from autointerp.judge_training import measure, pairs, recorded, rules
from autointerp.judge_training.base import JudgeTrainingConfig
from autointerp.judge_training.pairs import Source
from autointerp.llm import _judge_features as features
from autointerp.llm import _judge_network as networks
from autointerp.llm import cross_encoder
from autointerp.records import JudgeTask, Request, Sampling, ShownItem
from autointerp.scorers import _answers
from tests.experiment.conftest import FILLERS, NOUNS

SYLLABLES = ["ba", "co", "di", "fu", "ga", "ho", "li", "mu", "na", "po", "ri", "su", "ta", "vo", "we"]


def text(n: int, seed: int) -> list[str]:
    """Documents of made-up words: their letters are all that can be known of them."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(SYLLABLES, size=rng.integers(2, 4))) for _ in range(300)]
    return [" ".join(str(rng.choice(words)) for _ in range(200)) for _ in range(n)]


@pytest.fixture(scope="module")
def source() -> Source:
    config = JudgeTrainingConfig(n_windows=1500)
    cut = pairs.windows(text(200, 0), config)
    return Source([cut], [pairs.lexicon(cut, held_out=False)])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer with random weights, and a word-piece tokenizer of letters and common pieces."""
    import transformers
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *(f"##{one}" for one in letters),
        *NOUNS,
        *FILLERS,
    ]
    vocabulary += [
        "word",
        "words",
        "ending",
        "beginning",
        "after",
        "phrase",
        "in",
        "with",
        '"',
        "'",
        ",",
        ".",
        "-",
        ";",
    ]
    tokenizer = transformers.BertTokenizerFast(  # pyright: ignore[reportAttributeAccessIssue]
        vocab={piece: number for number, piece in enumerate(dict.fromkeys(vocabulary))}
    )
    assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize("word")) != [tokenizer.unk_token_id]
    torch.manual_seed(0)
    size: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    BertModel(BertConfig(vocab_size=len(tokenizer), **size)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", [kind for kind in rules.KINDS if kind not in ("neighbours", "topic", "look")])
def test_rules_hold_where_they_say(source: Source, kind: str) -> None:
    """Spans lie in the text; active and silent contexts both occur; marks are right just where the rule holds."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        some = source.rule_pairs(rng, 6, kind)
        assert len({bool(one.spans) for one in some}) == 2
        for one in some:
            assert all(0 <= start < stop <= len(one.text) for start, stop in one.spans)
            for start, stop in one.marks:
                meets = any(start < b and a < stop for a, b in one.spans)
                assert meets == one.marks_right


def test_affix_rules_are_about_the_quoted_letters(source: Source) -> None:
    """By an independent reading of the explanation: the quoted letters end or begin every word it holds on."""
    rng = np.random.default_rng(1)
    for kind, fits in (("prefix", str.startswith), ("suffix", str.endswith)):
        for _ in range(10):
            for one in source.rule_pairs(rng, 4, kind):
                letters = re.findall(r'"(\w+)"|-(\w+)\b|\b(\w+)-', one.explanation)[-1]
                quoted = next(part for part in letters if part)
                assert all(fits(one.text[a:b].lower(), quoted) for a, b in one.spans)


def test_words_that_measure_are_never_trained_on() -> None:
    """The two sides of the lexicon are disjoint; no topic or word that measures is in a training topic."""
    cut = pairs.windows(text(50, 0), JudgeTrainingConfig(n_windows=300))
    train, unseen = (pairs.lexicon(cut, held_out=side) for side in (False, True))
    assert not [word for word in train.vocabulary if train.fits(word) and unseen.fits(word)]
    assert any(unseen.fits(word) for word in unseen.vocabulary)
    taught, unseen_topics = rules.topics(held_out=False), rules.topics(held_out=True)
    words = {word for some in taught.values() for word in some}
    assert not words & rules.held_out_words()
    assert not taught.keys() & unseen_topics.keys()
    assert min(len(taught), 4 * len(unseen_topics)) >= 40


@pytest.mark.parametrize(
    ("explanation", "kind"),
    [
        ('the word "cat"', "EQUAL"),
        ('words starting with "ca"', "PREFIX"),
        ("words ending in -at", "SUFFIX"),
        ('words with "a" in them', "INSIDE"),
        ('any word before "sat"', "AFTER"),
        ("any word after “the”", "BEFORE"),
    ],
)
def test_matches_say_how_a_term_matches_a_word(encoder: Path, explanation: str, kind: str) -> None:
    """Of "the cat sat", the word cat has just the one match with the first term of each explanation."""
    from transformers import AutoTokenizer

    found = features.encode(AutoTokenizer.from_pretrained(encoder), explanation, "the cat sat", ((4, 7),))
    cat = found.marked
    assert cat.any()
    first = found.matches[cat][:, 0]
    assert (first[:, getattr(features, kind)] == 1).all()
    assert first.sum() == cat.sum()


def test_terms_know_the_words_around_them(encoder: Path) -> None:
    """Cues average the pieces in, before and after a term: of 'word "cat" after', those of word and of after."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(encoder)
    found = features.encode(tokenizer, 'word "cat" after', "the cat")
    pieces = np.array(tokenizer.convert_ids_to_tokens(found.ids.tolist()))
    inside, before, after = found.cues[0]
    assert "".join(pieces[inside > 0]).replace("##", "") in ('"cat"', "cat")
    assert pieces[before > 0].tolist() == ["word"]
    assert pieces[after > 0].tolist() == ["after"]
    assert found.cues[0].sum(-1).tolist() == pytest.approx([1, 1, 1])


def test_unquoted_words_match_too(encoder: Path) -> None:
    """An unquoted word of the explanation equals a word of the text, or shares its stem."""
    from transformers import AutoTokenizer

    terms = [term.text for term in features.terms("words like ending")]
    found = features.encode(AutoTokenizer.from_pretrained(encoder), "words like ending", "endings ending", ((8, 14),))
    number = terms.index("ending")
    assert found.matches[found.marked][:, number, features.EQUAL].all()
    first = found.context & ~found.marked & (found.spans[:, 1] <= 7)
    assert found.matches[first][:, number, features.STEM].all()


def test_like_lengths_together_change_no_logit(encoder: Path) -> None:
    """Logits of pairs of unequal length do not depend on which are padded together."""
    network, tokenizer = networks.new(str(encoder), 1)
    texts = ["the cat", "the cat sat on the mat " * 4, "a", "cat " * 30]
    encoded = [features.encode(tokenizer, 'the word "cat"', text) for text in texts]
    together, apart = (networks.pieces_of(network, encoded, n) for n in (1, 4))
    for row, one in enumerate(encoded):
        n = len(one.ids)
        assert together[row, :n].tolist() == pytest.approx(apart[row, :n].tolist(), abs=1e-4)


def test_a_judge_is_trained_measured_and_answers(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fifteen steps of a one-layer encoder; kinds that the text lacks are left out; the folder is a back end."""
    for name, seed in (("train", 0), ("other", 1)):
        (tmp_path / f"{name}.txt").write_text("\n\n".join(text(120, seed)), encoding="utf-8")
    out = tmp_path / "judge"
    argv = [
        "train-judge",
        "--data",
        str(tmp_path / "train.txt"),
        "--held-out",
        str(tmp_path / "other.txt"),
        "--base",
        str(encoder),
        "--out",
        str(out),
        "--set",
        "n_windows=600",
        "--set",
        "lr=0.01",
        "--set",
        "held_out_rules=6",
        "--set",
        "rules_per_step=4",
    ]
    assert main([*argv, "--steps", "15"]) == 0
    assert "detection  word" in capsys.readouterr().out
    judge = cross_encoder.open(cross_encoder.Config(model=str(out)))
    items = (ShownItem(text="gaho badi lisu"), ShownItem(text="badi lisu fuco"))
    asked = Request(
        key="k",
        messages=(),
        task=JudgeTask(explanation='the word "gaho"', items=items),
        sampling=Sampling(top_logprobs=5),
    )
    (reply,) = judge.generate([asked])
    assert reply.text is not None
    answers = _answers.yes_no(reply.text, 2)
    probabilities = _answers.probabilities(reply.logprobs, 2)
    assert answers == [p is not None and p >= 0.5 for p in probabilities]
    assert probabilities[0] is not None
    assert probabilities[1] is not None
    alone = judge.probabilities([('the word "gaho"', items[1].text, ())])
    assert alone[0] == pytest.approx(probabilities[1], abs=1e-5), "neighbours in a batch change nothing"
    assert judge.probabilities([("", items[0].text, ()), ("", items[1].text, ())]) == [0.5, 0.5]


def test_calibration_makes_probabilities_of_logits(source: Source) -> None:
    """Of logits that are three times too large, the fit finds a third."""
    rng = np.random.default_rng(0)
    some = [one for _ in range(300) for one in source.rule_pairs(rng, 6, "word")]
    true = rng.normal(size=len(some)) * 2
    flipped = rng.random(len(some)) < 1 / (1 + np.exp(-true))
    made = [
        pairs.Pair(kind="word", explanation="", text="", spans=((0, 1),) if yes else (), marks=(), marks_right=False)
        for yes in flipped
    ]
    made[0] = pairs.Pair(kind="word", explanation="", text="", spans=(), marks=((0, 1),), marks_right=False)
    scale, bias = measure.calibration(np.stack([3 * true, true], 1), made)[0]
    # Standard error of a logistic slope at n = 1,800 and spread 2 is below .03 of it.
    assert abs(scale - 1 / 3) < 0.06
    assert abs(bias) < 0.25


def test_recorded_answers_are_read_back(tmp_path: Path) -> None:
    """Explanation, contexts, marks and P(yes) of a stored prompt; what cannot be read is counted."""
    shown = 'Explanation: the word "cat"\n\n[1] the<< cat>> sat\\nthere\n[2] a<< dog>>'
    logprobs = [["[", 0.0, []], ["1", -0.1, [["1", -0.1], ["0", -2.4]]], [", ", 0.0, []], ["0", 0.0, [["0", 0.0]]]]
    good = {"messages": [{"content": shown}], "reply": {"text": "[1, 0]", "logprobs": logprobs}}
    bad = {"messages": [{"content": shown}], "reply": {"text": "[1, 0, 1]", "logprobs": []}}
    found, n_left_out = recorded.recorded([good, bad])
    assert n_left_out == 1
    assert [(one.text, one.marks) for one in found] == [("the cat sat\nthere", ((3, 7),)), ("a dog", ((1, 5),))]
    assert found[0].yes == pytest.approx(np.exp(-0.1) / (np.exp(-0.1) + np.exp(-2.4)), abs=1e-6)
    assert found[1].yes < 1e-6


def test_a_kind_that_the_text_lacks_is_not_drawn(source: Source) -> None:
    """Made-up words hold no topic: no pairs, where drawing used to go on for ever."""
    assert source.rule_pairs(np.random.default_rng(0), 4, "topic") == []
    kinds = {group[0].kind for group in measure.held_out_pairs(source, 12, 0, part="measure")}
    assert "word" in kinds
    assert "topic" not in kinds


def test_a_folder_without_a_judge_is_rejected(tmp_path: Path) -> None:
    """One line that names the verb that writes one."""
    with pytest.raises(StudyError, match="train-judge"):
        cross_encoder.open(cross_encoder.Config(model=str(tmp_path)))
