"""Judgements become estimates, comparisons and verdicts. Tables in, tables out; the unit is the latent.

Names are imported when they are first used: a study reads its settings without loading scipy and pandas. Functions that
bear their module's name (`claims`, `controls`, `frontier`, `headlines`, `layers`) are imported from there.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autointerp.statistics.base import POPULATIONS, Estimate, Limits, StatisticsConfig
    from autointerp.statistics.contrasts import compare
    from autointerp.statistics.controls import planted_moved
    from autointerp.statistics.estimates import estimate
    from autointerp.statistics.judge import judge_correct
    from autointerp.statistics.multiplicity import adjust, families
    from autointerp.statistics.outcomes import WORDS, verdict
    from autointerp.statistics.planning import allocate, plan
    from autointerp.statistics.prevalence import real_distribution
    from autointerp.statistics.reconstruction_comparison import compare_reconstruction
    from autointerp.statistics.scores import latent_scores
    from autointerp.statistics.summary import Summary, coverage, summarise
    from autointerp.statistics.variance import shrink, varcomp

HOMES = {
    "base": "POPULATIONS Estimate Limits StatisticsConfig",
    "contrasts": "compare",
    "controls": "planted_moved",
    "estimates": "estimate",
    "judge": "judge_correct",
    "multiplicity": "adjust families",
    "outcomes": "WORDS verdict",
    "planning": "allocate plan",
    "prevalence": "real_distribution",
    "reconstruction_comparison": "compare_reconstruction",
    "scores": "latent_scores",
    "summary": "Summary coverage summarise",
    "variance": "shrink varcomp",
}
MODULE_OF = {name: module for module, names in HOMES.items() for name in names.split()}

__all__ = [
    "POPULATIONS",
    "WORDS",
    "Estimate",
    "Limits",
    "StatisticsConfig",
    "Summary",
    "adjust",
    "allocate",
    "compare",
    "compare_reconstruction",
    "coverage",
    "estimate",
    "families",
    "judge_correct",
    "latent_scores",
    "plan",
    "planted_moved",
    "real_distribution",
    "shrink",
    "summarise",
    "varcomp",
    "verdict",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module."""
    if name not in MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULE_OF[name]}"), name)
