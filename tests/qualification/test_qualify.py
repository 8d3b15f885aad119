"""Bad judges and explainers stop within 100 calls, with the cause named; good ones pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from autointerp.asking import ask
from autointerp.asking.ask import AskConfig
from autointerp.asking.budget import StageUsage
from autointerp.corpus import docstrings
from autointerp.errors import EngineError
from autointerp.experiment.qualify import Candidate
from autointerp.experiment.study import ExplainerMember, ScorerMember
from autointerp.llm.scripted import Scripted
from autointerp.prompts import Prompts
from autointerp.qualification import show
from autointerp.qualification.base import QualifyConfig
from autointerp.qualification.probes import Probe, probes
from autointerp.records import Request
from tests.qualification import judges

Answer = Callable[[Request], str]


@pytest.fixture(scope="module")
def planted() -> list[Probe]:
    return probes(docstrings.documents(docstrings.Config()), n_rules=32, n_contexts=5, seed=0)


def candidate(planted: list[Probe], explainer: Answer, judge: Answer, **settings: Any) -> tuple[Candidate, list[int]]:
    """A candidate of two functions, and the count of calls that each made."""
    calls = [0]

    @contextmanager
    def opened(role: str) -> Iterator[tuple[Any, StageUsage]]:
        def counted(request: Request) -> str:
            calls[0] += 1
            return (explainer if role == "explainer" else judge)(request)

        yield ask.connect(Scripted(counted), store=None), StageUsage()

    made = Candidate(
        explainer=ExplainerMember.model_validate("default"),
        scorers=tuple(ScorerMember.model_validate(name) for name in ("detection", "fuzzing")),
        prompts=Prompts(),
        ask=AskConfig(),
        config=QualifyConfig.model_validate(settings),
        opened=opened,
    )
    made._probes = planted
    return made, calls


def test_a_perfect_judge_passes_in_few_calls(planted: list[Probe]) -> None:
    """About 80 judgements a scorer decide; the table holds what is true of a perfect judge."""
    made, calls = candidate(planted, judges.one_sentence, judges.perfect)
    found = made.judge()
    assert found.judge == "passed"
    assert calls[0] <= 40
    whole = {row.scorer: row for row in found.rows if row.grade == "all"}
    assert {row.informedness for row in whole.values()} == {1.0}
    assert whole["detection"].constant_lists == 0
    assert not found.causes
    quality = ", ".join(f"{scorer} 1.00" for scorer in whole)
    assert f"judge passed (sensitivity + specificity - 1: {quality}), explainer" in show.summary(found)


@pytest.mark.parametrize(
    ("judge", "cause"),
    [
        (judges.always_yes, "answers yes to 100% of the contexts"),
        (judges.copies, "repeat an answer of the prompt's examples"),
        (judges.by_position, "depend on the position"),
        (judges.blind_at_fuzzing, "judge, fuzzing: "),
        (judges.coin, "do not follow the explanation"),
        (judges.unreadable, "not in the requested form"),
    ],
)
def test_a_bad_judge_is_stopped_within_100_calls(planted: list[Probe], judge: Answer, cause: str) -> None:
    """The line that stops the run names what is wrong and what to do."""
    made, calls = candidate(planted, judges.one_sentence, judge)
    found = made.judge()
    assert found.judge == "failed"
    assert calls[0] <= 100
    said = show.refusal(found)
    assert cause in said
    assert "n_per_question: 1" in said


def test_a_judge_blind_at_fuzzing_is_good_at_detection(planted: list[Probe]) -> None:
    """Only the failing scorer is blamed."""
    found = candidate(planted, judges.one_sentence, judges.blind_at_fuzzing)[0].judge()
    assert not [cause for cause in found.causes if "detection" in cause]


def test_a_fair_explainer_passes(planted: list[Probe]) -> None:
    """An explainer that names the rule is judged as well by its own words as by the true ones."""
    made, calls = candidate(planted, judges.names_the_word, judges.perfect)
    found = made.explain()
    assert found.explainer == "passed", (found.causes, found.explanations)
    assert calls[0] <= 100


@pytest.mark.parametrize(
    ("explainer", "cause"),
    [
        (judges.one_sentence, "different rules got 1 different explanations"),
        (judges.copies_example, "copy an example of the prompt"),
        (judges.quotes_context, "quote a passage"),
        (judges.in_german, "not in English"),
        (judges.refuses, "refuses the prompts"),
        (judges.vague, "do not say what the contexts have in common"),
    ],
)
def test_a_bad_explainer_is_stopped_within_100_calls(planted: list[Probe], explainer: Answer, cause: str) -> None:
    """With a perfect judge, which used to make such runs `valid`; judge and explainer together stay below 100 calls."""
    made, calls = candidate(planted, explainer, judges.perfect)
    assert made.judge().judge == "passed"
    found = made.explain()
    assert found.explainer == "failed"
    assert calls[0] <= 100
    assert cause in show.refusal(found)


def test_a_server_that_dies_stops_with_its_own_error(planted: list[Probe]) -> None:
    """Nothing is concluded about a judge that was not reached."""

    def dead(request: Request) -> str:
        raise EngineError("http://localhost:1/v1: no reply for 120 s")

    made, _ = candidate(planted, judges.one_sentence, dead)
    with pytest.raises(EngineError, match="no reply"):
        made.judge()


def test_no_probe_is_explained_and_judged_on_one_document(planted: list[Probe]) -> None:
    """LatentExamples checks it on construction; here: both sides are there, with marks where the rule holds."""
    assert {probe.rule.grade for probe in planted} == {"token", "phrase", "topic"}
    for probe in planted:
        for example in (*probe.examples.explain, *probe.examples.held_out):
            assert any(example.activations)
            assert probe.rule.spans(example.text)
        assert not any(probe.rule.spans(example.text) for example in probe.examples.contrast)


def test_auto_chooses_the_form_in_which_the_judge_is_good(planted: list[Probe]) -> None:
    """A judge that answers lists as a whole, and single contexts well, is asked about one context at a time."""

    def weak(request: Request) -> str:
        one_word = "Answer with one word" in request.messages[0].content
        return judges.perfect(request) if one_word else judges.always_yes(request)

    made, _ = candidate(planted, judges.one_sentence, weak, mode="auto")
    found = made.judge()
    assert (found.judge, found.form) == ("passed", "token")
    made, _ = candidate(planted, judges.one_sentence, judges.perfect, mode="auto")
    assert made.judge().form == "list", "the cheapest of equally good forms"
