"""What judges without an explanation score on fuzzing's prompts of a run's real latents (AUROC, .5 is chance).

python -m tests.benchmarks.shortcuts RUN ...        # run directories of `autointerp score`, also of --dry-run
"""

import itertools
import sys
from pathlib import Path

import numpy as np

from autointerp.prompts import Prompts
from autointerp.records import Explanation, LatentExamples
from autointerp.run import record_rows
from autointerp.run.store import Run
from autointerp.scorers import fuzzing
from autointerp.seeds import generator
from tests.helpers.company import ALONE, COMPANY, of_latent, other_prompts

N_LATENTS = 100


def scored(latents: list[LatentExamples]) -> dict[str, np.ndarray]:
    """Each judge's AUROC on each latent."""
    scorer = fuzzing.build(fuzzing.Config(), Prompts())
    found = []
    for one in latents:
        told = Explanation(explanation_id="e", latent=one.latent, text="x", explainer="t", prompt_hash="", raw="")
        questions = scorer.questions(one, told, "none", generator(0, "questions", "fuzzing", one.latent))
        if questions:
            rest = {"a memory: marked in the latent's other prompts": other_prompts(questions)}
            found.append({**of_latent(questions, {**COMPANY, **ALONE}), **rest})
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def main() -> None:
    columns = {}
    for name in sys.argv[1:]:
        latents = [one for one in record_rows.read_examples(Run(Path(name))) if not one.latent.planted]
        columns[name] = scored(list(itertools.islice(latents, 0, None, -(-len(latents) // N_LATENTS))))
    for judge in next(iter(columns.values())):
        cells = [
            f"{one[judge].mean():.3f} +- {one[judge].std(ddof=1) / len(one[judge]) ** 0.5:.3f}"
            for one in columns.values()
        ]
        print(f"{judge:48}", *cells, sep="  ")


if __name__ == "__main__":
    main()
