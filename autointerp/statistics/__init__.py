"""Judgements become estimates, comparisons and verdicts. Tables in, tables out; the unit is the latent."""

from autointerp.statistics.base import POPULATIONS, Estimate, Limits, StatisticsConfig
from autointerp.statistics.claims import claims
from autointerp.statistics.contrasts import compare
from autointerp.statistics.controls import controls, planted_moved
from autointerp.statistics.estimates import estimate
from autointerp.statistics.frontier import frontier
from autointerp.statistics.headlines import headlines
from autointerp.statistics.judge import judge_correct
from autointerp.statistics.layers import layers
from autointerp.statistics.multiplicity import adjust, families
from autointerp.statistics.outcomes import WORDS, verdict
from autointerp.statistics.planning import allocate, plan
from autointerp.statistics.prevalence import real_distribution
from autointerp.statistics.reconstruction_comparison import compare_reconstruction
from autointerp.statistics.scores import latent_scores
from autointerp.statistics.summary import Summary, coverage, summarise
from autointerp.statistics.variance import shrink, varcomp

__all__ = [
    "POPULATIONS",
    "WORDS",
    "Estimate",
    "Limits",
    "StatisticsConfig",
    "Summary",
    "adjust",
    "allocate",
    "claims",
    "compare",
    "compare_reconstruction",
    "controls",
    "coverage",
    "estimate",
    "families",
    "frontier",
    "headlines",
    "judge_correct",
    "latent_scores",
    "layers",
    "plan",
    "planted_moved",
    "real_distribution",
    "shrink",
    "summarise",
    "varcomp",
    "verdict",
]
