"""The smallest explainer and scorer there can be, latents and questions for them, and their ideal answers."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autointerp.explainers.base import UnreadableError
from autointerp.records import (
    Control,
    Example,
    ExplainTask,
    Explanation,
    Item,
    Judgement,
    JudgeTask,
    LatentExamples,
    LatentId,
    Message,
    Question,
    Reply,
    Request,
    Sampling,
    ShownExample,
    ShownItem,
)
from autointerp.scorers import _answers

N_ITEMS = 5


def latent(index: int, dictionary: str = "sae") -> LatentId:
    return LatentId(dictionary, "mlp.output", index)


def examples(index: int, n: int = 8, dictionary: str = "sae") -> LatentExamples:
    """A latent with `n` explain windows whose texts are "latent <index> example <number>"."""
    shown = tuple(
        Example(
            window=number,
            document=0,
            pieces=("latent ", str(index), " example ", str(number)),
            activations=(0.0, 1.0, 0.0, 0.0),
            kind="positive",
            stratum=number % 10,
            stratum_share=0.1,
        )
        for number in range(n)
    )
    return LatentExamples(
        latent=latent(index, dictionary), explain=shown, explain_contrast=(), held_out=(), contrast=()
    )


class Echo:
    """Explains a latent by whatever the reply says; "REFUSED" is a refusal."""

    name = "echo"
    templates: Sequence[str] = ()

    def request(self, examples: LatentExamples, rng: np.random.Generator) -> Request:
        texts = [example.text for example in examples.explain]
        shown = tuple(ShownExample(pieces=example.pieces, levels=(0, 10, 0, 0)) for example in examples.explain)
        content = "\n".join([f"draw {int(rng.integers(1000))}", *texts])
        return Request(key="", messages=(Message("user", content),), task=ExplainTask(examples=shown))

    def read(self, reply: Reply) -> str:
        assert reply.text is not None
        if reply.text == "REFUSED":
            raise UnreadableError("refused")
        return reply.text


class YesNo:
    """Asks five contexts at a time; item i of question q is true where (q + i) is even, which its text spells out."""

    name = "yes_no"
    chance = 0.5
    needs = "llm"
    templates: Sequence[str] = ()

    def questions(
        self, examples: LatentExamples, explanation: Explanation, control: Control, rng: np.random.Generator
    ) -> list[Question]:
        return [question(number, explanation.latent.dictionary) for number in range(3)]

    def reshuffled(self, question: Question, rng: np.random.Generator) -> Question | None:
        return None

    def judge(self, question: Question, reply: Reply) -> list[Judgement]:
        told = _answers.yes_no(reply.text or "", len(question.items))
        chances = _answers.probabilities(reply.logprobs, len(question.items))
        return [
            Judgement(
                latent=question.latent,
                scorer=question.scorer,
                control=question.control,
                question_id=question.question_id,
                position=position,
                item=item,
                answer="unanswered" if told is None else "yes" if told[position] else "no",
                probability=chances[position],
                explanation_id=question.explanation_id,
                status="unparsed" if told is None else "ok",
            )
            for position, item in enumerate(question.items)
        ]


def question(
    number: int, dictionary: str = "sae", *, n_shots: int = 2, n_items: int = N_ITEMS, top: int = 0
) -> Question:
    texts = [
        f"context {number}.{position} is {'even' if (number + position) % 2 == 0 else 'odd'}"
        for position in range(n_items)
    ]
    shots = [
        message
        for i in range(n_shots)
        for message in (Message("user", f"shot {i}: a, b"), Message("assistant", "[1, 0]"))
    ]
    lines = "\n".join(f"{place + 1}: {text}" for place, text in enumerate(texts))
    return Question(
        question_id=f"{dictionary}-q{number}",
        latent=latent(number // 3, dictionary),
        scorer="yes_no",
        control="none",
        explanation_id="e",
        items=tuple(item(number, position) for position in range(n_items)),
        messages=(Message("system", "Answer with a JSON list."), *shots, Message("user", lines)),
        task=JudgeTask(explanation="even ones", items=tuple(ShownItem(text=text) for text in texts)),
        sampling=Sampling(max_tokens=32, top_logprobs=top),
        schema=_answers.yes_no_schema(n_items),
    )


def item(number: int, position: int) -> Item:
    even = (number + position) % 2 == 0
    return Item(
        window=number * 100 + position,
        document=number,
        kind="positive" if even else "random",
        stratum=0,
        stratum_share=1.0,
        truth=even,
    )


def oracle(request: Request) -> str:
    """What a perfect judge replies."""
    assert isinstance(request.task, JudgeTask)
    return json.dumps([int(shown.text.endswith("even")) for shown in request.task.items])


def truths(question: Question) -> list[str]:
    return ["yes" if item.truth else "no" for item in question.items]


def requests(n: int, **changes: object) -> list[Request]:
    """Requests of `n` questions, keyed 0..n-1."""
    made = [question(number) for number in range(n)]
    return [
        replace(
            Request(key=str(number), messages=one.messages, task=one.task, sampling=one.sampling, schema=one.schema),
            **changes,
        )  # pyright: ignore[reportArgumentType]
        for number, one in enumerate(made)
    ]
