"""Control questions: their correct score is known in advance (chance, or near 1). Every run has them.

    plan = controls.plan(explanations, config, seed)
    for latent in examples:
        for question in controls.questions(latent, plan, scorers, seed):    # its own, and the controls it was drawn for
            ...
        judgements = controls.lexical(latent, questions_of_this_latent)     # the same items, without an LLM

A control that comes out wrong makes a run's scores INVALID (`autointerp.statistics.controls`), not merely low.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from autointerp.examples.triviality import peak_token
from autointerp.records import Control, Example, Explanation, Judgement, LatentExamples, LatentId, Question, ShownItem
from autointerp.scorers.base import ControlsConfig, Scorer
from autointerp.seeds import digest, generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Assignment of explanations to latents: their own, and those of the controls that they were drawn for."""

    own: Mapping[LatentId, Explanation]
    shuffled: Mapping[LatentId, Explanation]
    empty: Mapping[LatentId, Explanation]
    duplicate_share: float

    def of(self, latent: LatentId) -> Iterator[tuple[Control, Explanation]]:
        """Yield the controls of one latent with their explanations, its own first."""
        if latent in self.own:
            yield ("planted" if latent.planted else "none"), self.own[latent]
        if latent in self.shuffled:
            yield "shuffled", self.shuffled[latent]
        if latent in self.empty:
            yield "empty", self.empty[latent]


def plan(
    explanations: Iterable[Explanation],
    config: ControlsConfig,
    seed: int,
    batches: Sequence[frozenset[LatentId]] = (),
    order: Mapping[LatentId, int] | None = None,
) -> Plan:
    """Draw which latents are controls.

    Args:
        explanations: all of the run, failed ones and the planted latents' true ones included.
        config: how many.
        seed: the study's.
        batches: sets of latents that came one after the other: controls are drawn within each, so that a later one
            changes no question about an earlier one.
        order: the order in which latents join the sample (`look_order`): latents that join later change no control of
            earlier ones. Without it, the order is drawn by seed.

    Returns:
        Per dictionary up to `n_shuffled` latents that are judged by another latent's explanation (a derangement: no
        latent gets its own, none is given twice, none says the same in the same words), and up to `n_empty` that are
        judged by no words. Failed explanations are judged by nobody: their latents count as not explained.
    """
    own = {one.latent: one for one in explanations if one.text is not None}
    ranks = order or {}
    shuffled: dict[LatentId, Explanation] = {}
    empty: dict[LatentId, Explanation] = {}
    for batch in batches or (frozenset(own),):
        n_shuffled, n_empty = (_left(n, drawn) for n, drawn in ((config.n_shuffled, shuffled), (config.n_empty, empty)))
        some = {latent: own[latent] for latent in batch if latent in own}
        drawn = _drawn(
            some, n_shuffled, n_empty, lambda latent: (ranks.get(latent, 0), digest(seed, "controls", latent))
        )
        shuffled, empty = shuffled | drawn[0], empty | drawn[1]
    return Plan(own=own, shuffled=shuffled, empty=empty, duplicate_share=config.duplicate_share)


def _left(n: int, drawn: Mapping[LatentId, Explanation]) -> int:
    """Return how many more latents per dictionary a control takes."""
    counts = Counter(latent.dictionary for latent in drawn)
    return max(0, n - max(counts.values(), default=0))


def _drawn(
    own: Mapping[LatentId, Explanation], n_shuffled: int, n_empty: int, rank: Callable[[LatentId], tuple[int, int]]
) -> tuple[dict[LatentId, Explanation], dict[LatentId, Explanation]]:
    """Draw up to so many latents of each dictionary for the shuffled and for the empty control."""
    shuffled: dict[LatentId, Explanation] = {}
    empty: dict[LatentId, Explanation] = {}
    for dictionary in sorted({latent.dictionary for latent in own if not latent.planted}):
        order = sorted((latent for latent in own if latent.dictionary == dictionary), key=rank)
        # Neighbours in the order swap their explanations; the last of an odd number has no partner.
        pairs = itertools.chain.from_iterable(((a, b), (b, a)) for a, b in zip(order[::2], order[1::2], strict=False))
        strangers = [(latent, own[other]) for latent, other in pairs if own[other].text != own[latent].text]
        shuffled |= dict(strangers[:n_shuffled])
        empty |= {latent: _wordless(own[latent]) for latent in order[:n_empty]}
    return shuffled, empty


def _wordless(explanation: Explanation) -> Explanation:
    return Explanation(
        explanation_id=f"{explanation.explanation_id}/empty",
        latent=explanation.latent,
        text="",
        explainer="empty",
        prompt_hash="",
        raw="",
    )


def questions(examples: LatentExamples, plan: Plan, scorers: Mapping[str, Scorer], seed: int) -> Iterator[Question]:
    """Yield all questions about one latent: its own, its controls', and a reshuffled share of its own.

    A control's questions are dealt as its own are: the same items in the same order, only the explanation differs.
    """
    latent = examples.latent
    for name, scorer in scorers.items():
        for control, explanation in plan.of(latent):
            made = scorer.questions(examples, explanation, control, generator(seed, "questions", name, latent))
            yield from made
            if control == "none":
                yield from _again(made, scorer, plan.duplicate_share, seed)


def _again(made: list[Question], scorer: Scorer, share: float, seed: int) -> Iterator[Question]:
    for question in made:
        rng = generator(seed, "duplicate", question.question_id)
        if rng.random() < share and (again := scorer.reshuffled(question, rng)) is not None:
            yield again


def not_asked(examples: LatentExamples, questions: Iterable[Question]) -> Counter[str]:
    """Count by scorer the latent's activating held-out windows that none of its questions covers."""
    asked: dict[str, set[int]] = {}
    for question in questions:
        if question.control in ("none", "planted"):
            asked.setdefault(question.scorer, set()).update(item.window for item in question.items)
    windows = {example.window for example in examples.held_out}
    return Counter({scorer: len(windows - seen) for scorer, seen in asked.items() if windows - seen})


def lexical(examples: LatentExamples, questions: Iterable[Question]) -> Iterator[Judgement]:
    """Answer a latent's own yes/no questions by its most common peak token alone: is it there, is it marked?

    What a score has above this baseline (the latent's skill) is what the explanation says beyond that token. The token
    is learnt from the explain split, and no LLM is asked.
    """
    if not examples.explain:
        return
    token = peak_token(examples.explain).text
    windows = {example.window: example for example in (*examples.held_out, *examples.contrast)}
    for question in questions:
        if question.control != "none" or question.task.form != "yes_no":
            continue
        for position, (item, shown) in enumerate(zip(question.items, question.task.items, strict=True)):
            found = token in _looked_at(windows[item.window], shown)
            yield Judgement(
                latent=question.latent,
                scorer=question.scorer,
                control="lexical",
                question_id=f"{question.question_id}-lexical",
                position=position,
                item=item,
                answer="yes" if found else "no",
                probability=None,
                explanation_id="lexical",
            )


def _looked_at(example: Example, shown: ShownItem) -> list[str]:
    """Return the tokens a question is about: the marked ones, or all where none are."""
    if not shown.marks:
        return list(example.pieces)
    kept, begin = [], 0
    for piece in example.pieces:
        end = begin + len(piece)
        if any(begin < stop and start < end for start, stop in shown.marks):
            kept.append(piece)
        begin = end
    return kept
