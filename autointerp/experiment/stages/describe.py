"""Describe each sampled latent: a histogram of its activations, and the tokens that its decoder row promotes."""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from autointerp.collection import histograms
from autointerp.console import track
from autointerp.dictionaries.spec import Dictionary
from autointerp.experiment import near_latents
from autointerp.experiment.context import Experiment
from autointerp.records import LatentId
from autointerp.run import tables
from autointerp.run.record_rows import Counts
from autointerp.subject import unembedding


def run(experiment: Experiment) -> Counts:
    """Write histograms, neighbours and logits; dictionaries without promoted tokens are counted with the reason."""
    run, found = experiment.run, experiment.collected
    sampled = found.latents[found.latents["sampled"]]
    latents = list(itertools.starmap(LatentId, sampled[tables.KEY].itertuples(index=False)))
    with run.writing("histograms", tables.HISTOGRAMS) as writer:
        for latent in track(latents, "describe", total=len(latents), unit="latents"):
            for row in histograms.to_rows(latent, found.firing(latent.dictionary, latent.index)):
                writer.add(row)
    trained = [
        (one, str(arm.site_in))
        for arm, one in zip(experiment.arms, experiment.opened, strict=True)
        if one.name not in experiment.study.control_names
    ]
    with run.writing("neighbours", tables.NEIGHBOURS) as writer:
        for row in near_latents.neighbours(found, trained):
            writer.add(row)
    left_out = {}
    with run.writing("logits", tables.LOGITS) as writer:
        for arm, one in zip(experiment.arms, experiment.opened, strict=True):
            mine = sampled.loc[sampled["dictionary"] == one.name, "latent"].to_numpy()
            if one.name in experiment.study.control_names:
                left_out[one.name] = "a control arm has no decoder"
                continue
            if reason := unembedding.obstacle(experiment.subject.model, arm.site_out, one.d_out):
                left_out[one.name] = reason
                continue
            for row in _promoted(experiment, one, str(arm.site_in), mine):
                writer.add(row)
    return {"latents": len(sampled), "without_logits": left_out}


def _promoted(
    experiment: Experiment, dictionary: Dictionary, site: str, latents: NDArray[np.int64]
) -> Iterator[dict[str, object]]:
    """Yield rows of `tables.LOGITS`."""
    model, decode = experiment.subject.model, experiment.collected.windows.decode
    found = unembedding.extremes(model, dictionary.directions(latents), len(experiment.subject.tokenizer))
    for latent, strongest in zip(latents.tolist(), found, strict=True):
        for side, pairs in (("top", strongest.top), ("bottom", strongest.bottom)):
            for rank, (token, value) in enumerate(pairs):
                text = "".join(decode(np.array([token])))
                yield {
                    "dictionary": dictionary.name,
                    "site": site,
                    "latent": latent,
                    "side": side,
                    "rank": rank,
                    "token": text,
                    "value": value,
                }
