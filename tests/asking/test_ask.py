"""Every question ends once: answered, or counted with a reason; asked again with fresh seeds, never invented."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.asking import ask
from autointerp.asking.budget import Budget, LimitsConfig, Price, StageUsage, estimate_cost
from autointerp.errors import LimitError
from autointerp.llm.scripted import Scripted
from autointerp.records import Reply, Request, Usage
from autointerp.run import tables
from tests.helpers import asking

CONFIG = ask.AskConfig(attempts=3)


def judged(llm: ask.LLM, n: int, usage: StageUsage | None = None) -> dict[str, ask.Judged]:
    questions = (asking.question(number) for number in range(n))
    told = ask.judgements({"yes_no": asking.YesNo()}, llm, questions, config=CONFIG, usage=usage)
    return {one.question.question_id: one for one in told}


def test_an_oracle_answers_every_item_in_any_order_of_replies() -> None:
    found = judged(Scripted(asking.oracle, shuffled=3), 50)
    assert len(found) == 50
    for told in found.values():
        assert [judgement.answer for judgement in told.judgements] == asking.truths(told.question)
        assert told.row.failure == ""
        assert told.row.n_retries == 0


def test_an_unreadable_reply_is_asked_again_with_a_fresh_seed_then_stands_as_unanswered() -> None:
    llm, usage = Scripted(lambda _: "[1, 0"), StageUsage()
    (told,) = judged(llm, 1, usage).values()
    assert next(request.sampling.seed for request in llm.asked) == 0
    assert len({request.sampling.seed for request in llm.asked}) == len(llm.asked) == 3
    assert [request.sampling.temperature for request in llm.asked] == [0, 0.7, 0.7]
    assert {judgement.answer for judgement in told.judgements} == {"unanswered"}
    assert told.row.reply == "[1, 0"
    assert told.row.failure == "unparsed"
    assert told.row.retried_for == "unparsed unparsed"
    assert usage.manifest()["failures_by_dictionary"] == {"sae": {"unparsed": 1}}


def test_a_reply_that_never_came_is_asked_again_with_the_same_seed() -> None:
    llm = Scripted([None, "[1, 0, 1, 0, 1]"])
    (told,) = judged(llm, 1).values()
    assert [request.sampling for request in llm.asked] == [asking.question(0).sampling] * 2
    assert [judgement.n_retries for judgement in told.judgements] == [1] * 5


def test_one_bad_prompt_never_costs_its_neighbours_theirs() -> None:
    def answer(request: Request) -> str | None:
        return None if " 7.0 " in request.messages[-1].content else asking.oracle(request)

    found = judged(Scripted(answer, shuffled=1), 20)
    assert [name for name, told in found.items() if told.row.failure] == ["sae-q7"]
    assert {judgement.status for judgement in found["sae-q7"].judgements} == {"no_reply"}


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(key="", text="REFUSED"), "refused"),
        (Reply(key="", text="  "), "empty"),
        (Reply(key="", text="words about", finish_reason="length"), "truncated"),
        (Reply(key="", text="x", finish_reason="content_filter"), "refused"),
        (Reply(key="", text="<think>hm"), "empty"),
        (Reply(key="", text=None, failure="timeout"), "failed"),
    ],
)
def test_an_explanation_that_is_none_is_a_counted_failure_and_no_text(reply: Reply, status: str) -> None:
    usage = StageUsage()
    told = list(
        ask.explanations(
            asking.Echo(), Scripted(lambda _: reply), [asking.examples(1)], config=CONFIG, seed=0, usage=usage
        )
    )
    assert told[0].explanation.text is None
    assert told[0].explanation.status == status
    assert told[0].explanation.raw == (reply.text or "")
    assert sum(usage.failures.values()) == 1


def test_thoughts_are_cut_before_reading_and_kept_in_raw() -> None:
    llm = Scripted(lambda _: "<think>is it x?</think> fruit")
    (told,) = ask.explanations(asking.Echo(), llm, [asking.examples(1)], config=CONFIG, seed=0)
    assert told.explanation.text == "fruit"
    assert told.row.reply == "<think>is it x?</think> fruit"


def test_a_prompt_beyond_the_context_loses_whole_examples_and_is_counted() -> None:
    def answer(request: Request) -> str | Reply:
        n = request.messages[0].content.count("example")
        return Reply(key="", text=None, failure="too_long") if n > 5 else f"{n} examples"

    usage = StageUsage()
    told = list(
        ask.explanations(asking.Echo(), Scripted(answer), [asking.examples(1)], config=CONFIG, seed=0, usage=usage)
    )
    # 8 examples -> 6 -> 4: three quarters each time.
    assert told[0].explanation.text == "4 examples"
    assert told[0].row.n_left_out == 4
    assert usage.shortened == 1


def test_a_judges_prompt_beyond_the_context_loses_few_shot_turns_only() -> None:
    def answer(request: Request) -> str | Reply:
        return asking.oracle(request) if len(request.messages) == 2 else Reply(key="", text=None, failure="too_long")

    (told,) = judged(Scripted(answer), 1).values()
    assert [judgement.answer for judgement in told.judgements] == asking.truths(told.question)
    assert told.row.n_left_out == 2


def test_what_never_fits_is_counted_as_too_long() -> None:
    (told,) = judged(Scripted(lambda _: Reply(key="", text=None, failure="too_long")), 1).values()
    assert told.row.failure == "too_long"
    assert {one.status for one in told.judgements} == {"too_long"}


def test_rows_have_the_columns_of_the_questions_table() -> None:
    (told,) = judged(Scripted(asking.oracle), 1).values()
    assert list(told.row.__slots__) == list(tables.QUESTIONS)  # pyright: ignore[reportAttributeAccessIssue]


def test_no_more_questions_are_made_than_are_in_flight() -> None:
    made, ended, most = 0, 0, 0

    def questions() -> Iterator[ask.Question]:
        nonlocal made
        for number in range(500):
            made += 1
            yield asking.question(number)

    llm = Scripted(asking.oracle, shuffled=0, window=16)
    for _ in ask.judgements({"yes_no": asking.YesNo()}, llm, questions(), config=CONFIG):
        most, ended = max(most, made - ended), ended + 1
    assert ended == 500
    assert most <= 17


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"calls": 10}, "calls"),
        ({"tokens": 1100}, "tokens"),
        ({"usd": 0.0011}, "usd"),
    ],
)
def test_a_limit_stops_cleanly_and_the_next_run_goes_on(tmp_path: Path, limits: dict[str, float], named: str) -> None:
    def answer(request: Request) -> Reply:
        return Reply(key="", text=asking.oracle(request), usage=Usage(tokens_in=90, tokens_out=10))

    price = Price(input=10, output=10)  # 100 tokens cost 0.001 dollars; so every limit allows 10 or 11 calls, or 2
    ended, calls, stops = Counter(), 0, []
    for _ in range(40):
        llm = Scripted(answer)
        budget = Budget(LimitsConfig(**limits))  # pyright: ignore[reportArgumentType]
        try:
            connected = ask.connect(llm, store=tmp_path / "responses.sqlite", budget=budget, price=price)
            ended.update(
                told.question.question_id
                for told in ask.judgements(
                    {"yes_no": asking.YesNo()}, connected, map(asking.question, range(30)), config=CONFIG
                )
            )
        except LimitError as error:
            stops.append(str(error))
        calls += len(llm.asked)
        if len(llm.asked) == 0:
            break
    assert len(ended) == 30
    assert calls == 30
    assert stops
    assert all(f"limits.{named}" in stop for stop in stops)


def test_a_plan_scales_a_sample_to_all_calls() -> None:
    sample = asking.requests(2)
    size = sum(len(message.content) for request in sample for message in request.messages)
    planned = estimate_cost("score", sample, Scripted(asking.oracle), Price(input=1, output=2), calls=200)
    assert planned.calls == 200
    assert planned.tokens_out == 32 * 200
    assert not planned.exact
    assert planned.tokens_in == pytest.approx(size / 3.5 * 100, rel=0.01)
    assert planned.usd == pytest.approx((planned.tokens_in + 2 * planned.tokens_out) / 1e6)
