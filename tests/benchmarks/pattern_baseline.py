"""How well the `pattern` explainer and judge do on planted rules, and how long they take: no model takes part.

    python -m tests.benchmarks.pattern_baseline                        the docstrings of installed packages
    python -m tests.benchmarks.pattern_baseline stories.txt wiki.txt   text files

Rules of the bank are run over a corpus's windows as if they were latents. The explainer sees `--explain` activating
windows of one half of the documents; what it says is judged on 20 activating and 20 silent windows of the other half.
Prints CSV: per corpus, scorer and grade of rule the mean balanced accuracy, the least, and how many rules have enough
windows; then milliseconds per latent, to explain and to judge by both scorers.
"""

import argparse
import csv
import itertools
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.corpus import docstrings, text
from autointerp.corpus.base import Windows
from autointerp.examples import contrast, planted
from autointerp.explainers import pattern as explainer
from autointerp.llm import pattern
from autointerp.prompts import Prompts
from autointerp.records import Explanation, LatentExamples
from autointerp.scorers import detection, fuzzing
from autointerp.seeds import generator
from tests.helpers.planted import put_to, score
from tests.helpers.text import pieces, windows

N_JUDGED = 20


def corpus(path: str, n_tokens: int) -> Windows:
    """Read a file, or the docstrings for "", up to so many tokens (words, numbers and marks) as windows of 32."""
    documents = text.documents(text.Config(path=path)) if path else docstrings.documents(docstrings.Config())
    cut, n = [], 0
    for document in documents:
        cut.append(pieces(document.text))
        n += len(cut[-1])
        if n >= n_tokens:
            break
    return windows(cut)


def latents(found: Windows, n_explain: int) -> Iterable[LatentExamples]:
    """Yield every rule that both halves of the documents have enough windows of."""
    judged, shown = (
        {
            one.latent: one
            for one in planted.examples(
                found,
                contrast.pool(found, held_out=held_out, size=10_000, seed=0),
                n_rules=1000,
                n_positives=n,
                n_negatives=N_JUDGED,
                seed=0,
            )
        }
        for held_out, n in ((True, N_JUDGED), (False, n_explain))
    )
    for latent, one in judged.items():
        if latent in shown:
            yield replace(one, explain=shown[latent].held_out)


def measure(name: str, found: Iterable[LatentExamples]) -> list[dict[str, Any]]:
    """Explain and judge each rule: a row per scorer and grade, and one of times."""
    prompts, llm = Prompts(), pattern.open(pattern.Config())
    explains = explainer.build(explainer.Config(), prompts)
    scorers = [detection.build(detection.Config(), prompts), fuzzing.build(fuzzing.Config(), prompts)]
    scores: dict[tuple[str, str], list[float]] = {}
    explain_s, judge_s = [], []
    for examples in found:
        began = time.perf_counter()
        reply = next(iter(llm.generate([explains.request(examples, generator(0, examples.latent))])))
        explain_s.append(time.perf_counter() - began)
        told = Explanation(
            explanation_id="e",
            latent=examples.latent,
            text=explains.read(reply),
            explainer="pattern",
            prompt_hash="",
            raw="",
        )
        began = time.perf_counter()
        for scorer in scorers:
            questions = scorer.questions(examples, told, "none", generator(1, examples.latent))
            grade = planted.rule(examples.latent).grade
            scores.setdefault((scorer.name, grade), []).append(score(put_to(llm, scorer, questions), scorer))
        judge_s.append(time.perf_counter() - began)
    rows: list[dict[str, Any]] = [
        {
            "corpus": name,
            "scorer": scorer,
            "grade": grade,
            "mean": f"{np.mean(values):.3f}",
            "least": f"{min(values):.3f}",
            "n_rules": len(values),
        }
        for (scorer, grade), values in sorted(scores.items())
    ]
    if explain_s:
        rows[0] |= {"ms_explain": f"{1000 * np.mean(explain_s):.1f}", "ms_judge": f"{1000 * np.mean(judge_s):.1f}"}
    return rows


def main() -> None:
    """Measure each corpus named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", default=[""], help="text files; none: the docstrings")
    parser.add_argument("--tokens", type=int, default=300_000, help="words, numbers and marks read")
    parser.add_argument("--explain", type=int, default=40, help="activating windows shown")
    wanted = parser.parse_args()
    rows = [
        measure(Path(path).name or "docstrings", latents(corpus(path, wanted.tokens), wanted.explain))
        for path in wanted.paths
    ]
    names = ["corpus", "scorer", "grade", "mean", "least", "n_rules", "ms_explain", "ms_judge"]
    writer = csv.DictWriter(sys.stdout, names)
    writer.writeheader()
    writer.writerows(itertools.chain(*rows))


if __name__ == "__main__":
    main()
