"""Judgements become estimates, comparisons and verdicts. Tables in, tables out; the unit is the latent."""

from autointerp.statistics.base import POPULATIONS, Estimate, GateConfig, Limits, StatisticsConfig
from autointerp.statistics.composition import decompose
from autointerp.statistics.contrasts import WORDS, compare, verdict
from autointerp.statistics.controls import controls, validity
from autointerp.statistics.estimates import estimate
from autointerp.statistics.layers import layers
from autointerp.statistics.multiplicity import adjust, families
from autointerp.statistics.scores import latent_scores
from autointerp.statistics.summary import Summary, coverage, headlines, summarise

__all__ = [
    "POPULATIONS",
    "WORDS",
    "Estimate",
    "GateConfig",
    "Limits",
    "StatisticsConfig",
    "Summary",
    "adjust",
    "compare",
    "controls",
    "coverage",
    "decompose",
    "estimate",
    "families",
    "headlines",
    "latent_scores",
    "layers",
    "summarise",
    "validity",
    "verdict",
]
