"""Which measure notices which wrong explanation: a near miss, one too broad, one too narrow.

A perfect judge of a stated rule judges four explanations of planted latents. The means over the cases are the table in
`autointerp/scorers/detection.py`; AUTOINTERP_TABLES=print with `-s` prints them.
"""

import json
import os

import numpy as np
import pytest

from autointerp.examples import contrast, planted
from autointerp.examples.bank import Rule
from autointerp.prompts import Prompts
from autointerp.records import Example, Explanation, LatentExamples, LatentId, Question
from autointerp.scorers import detection
from tests.helpers.planted import corpus, put

# (true, near miss, too broad, too narrow): each as an expression.
CASES = [
    (r"\bwith\b", r"\bfrom\b", r"\b(?:with|from|by|as)\b", r"\bwith a\b"),
    (r"\bmethods?\b", r"\bclass(?:es)?\b", r"\b(?:methods?|class(?:es)?|functions?)\b", r"\bmethod\b"),
    (r"\breturns?\b", r"\braises?\b", r"\b(?:returns?|raises?|calls?|sets?)\b", r"\breturn\b"),
    (r"\bif\b", r"\bwhen\b", r"\b(?:if|when|or)\b", r"\bif the\b"),
]
NAMES = ("true", "near", "broad", "narrow")
SCORER = detection.build(detection.Config(), Prompts())


def measured(case: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Balanced accuracy by random and by hard negatives, and F1 at real prevalence, of the four explanations."""
    rules = [Rule(name, "token", name, regex) for name, regex in zip(NAMES, case, strict=True)]
    pool = contrast.pool(corpus(), held_out=True, size=2000, seed=0)
    holds = {rule.name: np.array([bool(rule.spans("".join(corpus().pieces(int(w))))) for w in pool]) for rule in rules}
    firing = planted.firing(rules[0], corpus(), pool)
    latent = LatentId("planted", "text", 0, planted=True)
    # The hard stratum: windows of the latent's neighbours, which the broad rule describes.
    near = [(holds["broad"] | holds["near"]).astype(float)]
    hard = contrast.negatives(corpus(), firing, pool, latent=latent, n=0, seed=0, n_hard=30, near=near)
    # Random ones from all the silent population, neighbours included: what a run without hard strata draws.
    silent = (*contrast.negatives(corpus(), firing, pool, latent=latent, n=100, seed=1), *hard)
    active = np.random.default_rng(0).permutation(pool[holds["true"]])[:30]
    positives = tuple(
        contrast_example(int(window), planted.activations(rules[0], corpus().pieces(int(window)))) for window in active
    )
    examples = LatentExamples(latent=latent, explain=(), explain_contrast=(), held_out=positives, contrast=silent)
    found: dict[str, dict[str, float]] = {}
    for rule in rules:
        told = Explanation(
            explanation_id=rule.name, latent=latent, text=rule.name, explainer="t", prompt_hash="", raw=""
        )

        def judge(question: Question, rule: Rule = rule) -> str:
            return json.dumps([int(bool(rule.spans(shown.text))) for shown in question.task.items])

        judged = put(SCORER, SCORER.questions(examples, told, "none", np.random.default_rng(0)), judge)
        right = {
            kind: np.mean([(o.answer == "yes") == o.item.truth for o in judged if o.item.kind == kind])
            for kind in ("positive", "random", "hard")
        }
        said, true = holds[rule.name], holds["true"]
        found[rule.name] = {
            "random": float((right["positive"] + right["random"]) / 2),
            "hard": float((right["positive"] + right["hard"]) / 2),
            "f1": float(2 * (said & true).sum() / (said.sum() + true.sum())),
        }
    return found


def contrast_example(window: int, activations: tuple[float, ...]) -> Example:
    return Example(
        window=window,
        document=int(corpus().documents[window]),
        pieces=corpus().pieces(window),
        activations=activations,
        kind="positive",
        stratum=0,
        stratum_share=1.0,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_the_true_explanation_wins_by_hard_negatives_and_real_prevalence(case: tuple[str, ...]) -> None:
    """Both measures put the truth (exactly 1) above a near miss, a broader and a narrower explanation."""
    found = measured(case)
    assert found["true"] == {"random": 1.0, "hard": 1.0, "f1": 1.0}
    for wrong in ("near", "broad", "narrow"):
        assert found[wrong]["hard"] < 0.95, wrong
        assert found[wrong]["f1"] < 0.95, wrong


def test_random_negatives_do_not_notice_a_broader_explanation() -> None:
    """Why hard negatives are needed: by random ones the broad explanation looks far better than the narrow one."""
    found = [measured(case) for case in CASES]
    table = {name: {k: float(np.mean([one[name][k] for one in found])) for k in found[0][name]} for name in NAMES}
    assert table["broad"]["random"] > 0.85 > table["narrow"]["random"]
    assert table["broad"]["hard"] < 0.6
    if os.environ.get("AUTOINTERP_TABLES") == "print":
        print("\n".join(f"{name}: {row}" for name, row in table.items()))
