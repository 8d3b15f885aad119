"""Choosing every latent's windows: positives, negatives of each kind, planted rules; who has too few is counted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autointerp.console import note, track
from autointerp.errors import CorpusError
from autointerp.examples import contrast, near, planted, repeats, select
from autointerp.examples.base import HardKind
from autointerp.experiment import near_latents
from autointerp.experiment.context import Experiment
from autointerp.experiment.study import Study
from autointerp.llm import embedding
from autointerp.records import Example, LatentExamples, LatentId
from autointerp.run import tables
from autointerp.run.example_rows import to_rows
from autointerp.run.record_rows import Counts
from autointerp.run.store import fingerprint

# Nearness [n_pool] of the pool's windows to a latent's own, given its explain windows; more is nearer.
Near = Callable[[LatentId, tuple[Example, ...]], NDArray[np.float64]]
# Latents between two releases of memory-mapped shards.
RELEASE_EVERY = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Shared inputs of all latents' draws: windows that may be judged, pools by split, hard strata in order."""

    fit: NDArray[np.bool_]
    pools: Mapping[bool, NDArray[np.int64]]
    shapes: NDArray[np.float64]
    hard: tuple[Near, ...]


def run(experiment: Experiment) -> Counts:
    """Choose the windows of every sampled and planted latent; later stages need no subject and no tokenizer."""
    study, run, windows = experiment.study, experiment.run, experiment.collected.windows
    wanted = study.examples
    latents = experiment.collected.latents.copy()
    rows = np.flatnonzero(latents["sampled"])
    sampled = [LatentId(*key) for key in latents.iloc[rows][tables.KEY].itertuples(index=False)]
    drawing = _drawing(experiment)
    n_repeated = int((windows.held_out & ~drawing.fit).sum())
    reasons, shares, peak_tokens = [""] * len(rows), np.full(len(rows), np.nan), [""] * len(rows)
    n_planted = 0
    with run.writing("examples", tables.EXAMPLES) as writer, run.writing("contexts", tables.CONTEXTS) as contexts:
        for number, latent in enumerate(track(sampled, "select", total=len(sampled), unit="latents")):
            examples, found = _examples(experiment, latent, drawing)
            if number % RELEASE_EVERY == 0:
                experiment.collected.release()
            if reason := _lacking(examples, wanted.n_positives, wanted.n_negatives):
                reasons[number] = reason
                continue
            shares[number], peak_tokens[number] = found.token_share, found.peak_token
            for row in to_rows(examples):
                writer.add(row)
            for row in near_latents.around(windows, examples):
                contexts.add(row)
        for examples in _planted(experiment, drawing):
            n_planted += 1
            for row in to_rows(examples):
                writer.add(row)
    run.write("latents", _described(latents, rows, reasons, shares, peak_tokens), tables.LATENTS)
    run.update_manifest(
        context_pool_hash=fingerprint(windows.fingerprint, drawing.pools[True].tolist()),
        context_pool={"seed": study.seed, "pool_windows": wanted.pool_windows, "tokenizer": _tokenizer_name(study)},
    )
    n_left = sum(not reason for reason in reasons)
    if sampled and not n_left:
        raise CorpusError(
            f"none of {len(sampled):,} sampled latents has {wanted.n_positives} activating and {wanted.n_negatives} "
            f"silent windows to be judged on; {n_repeated:,} of {int(windows.held_out.sum()):,} held-out windows "
            "repeat text of the explain documents: read more or more varied text, or lower examples.n_positives"
        )
    if n_repeated:
        note(f"select: {n_repeated:,} held-out windows repeat text of the explain documents and are not judged on")
    return {
        "latents": n_left,
        "too_few_windows": len(sampled) - n_left,
        "repeated_windows": n_repeated,
        "planted": n_planted,
        "planted_wanted": study.controls.n_planted,
    }


def _tokenizer_name(study: Study) -> str:
    return study.subject.tokenizer or study.subject.model


def _described(
    latents: pd.DataFrame, rows: NDArray[np.int64], reasons: list[str], shares: NDArray[np.float64], tokens: list[str]
) -> pd.DataFrame:
    """Return the latents table with the sampled rows' peak tokens, and the reasons of those that cannot be judged.

    These stay drawn: they keep their rank in `look_order` and inclusion probability, and represent undrawn ones.
    """
    dropped = np.array([bool(reason) for reason in reasons], dtype=bool)
    kept, lost = rows[~dropped], rows[dropped]
    columns = {name: latents[name].to_numpy(object).copy() for name in ("peak_token", "status")}
    columns |= {name: latents[name].to_numpy(copy=True) for name in ("token_share", "sampled", "eligible")}
    columns["token_share"][kept] = shares[~dropped]
    columns["peak_token"][kept] = [token for token, reason in zip(tokens, reasons, strict=True) if not reason]
    columns["sampled"][lost] = columns["eligible"][lost] = False
    columns["status"][lost] = [reason for reason in reasons if reason]
    return latents.assign(**columns)


def _lacking(examples: LatentExamples, n_positives: int, n_negatives: int) -> str:
    """Return why a latent cannot be judged, `rare` or `dense` as in the latents table; "" where it can."""
    if len(examples.held_out) < n_positives:
        return "rare"
    n_random = sum(example.kind == "random" for example in examples.contrast)
    return "dense" if n_random < n_negatives else ""


def _drawing(experiment: Experiment) -> Drawing:
    windows, wanted, seed = experiment.collected.windows, experiment.study.examples, experiment.study.seed
    fit = repeats.fit_to_judge(windows)
    pools = {
        True: contrast.pool(windows, held_out=True, size=wanted.pool_windows, seed=seed, fit=fit),
        False: contrast.pool(windows, held_out=False, size=wanted.pool_windows, seed=seed),
    }
    hard = _hard(experiment, pools[True]) if wanted.n_hard else ()
    return Drawing(fit=fit, pools=pools, shapes=contrast.shapes(windows, pools[True]), hard=hard)


def _hard(experiment: Experiment, pool: NDArray[np.int64]) -> tuple[Near, ...]:
    """Prepare the search for hard negatives of each kind."""
    collected, wanted = experiment.collected, experiment.study.examples
    found: dict[HardKind, Near] = {}
    if "words" in wanted.hard:
        words = near.Words(collected.windows, pool)
        found["words"] = lambda latent, explain: words.near(explain)
    if "embedding" in wanted.hard:
        meanings = near.Meanings(collected.windows, pool, _embedder(wanted.embedding_model))
        found["embedding"] = lambda latent, explain: meanings.near(explain)
    if {"cofiring", "decoder"} & set(wanted.hard):
        cofiring = {
            name: near.Cofiring(collected.windows, pool, latents.tolist(), partial(collected.firing, name))
            for name, latents in collected.references.items()
        }
        found["cofiring"] = lambda latent, explain: cofiring[latent.dictionary].near(
            latent.index, collected.firing(latent.dictionary, latent.index)
        )
        if "decoder" in wanted.hard:
            alike = _decoder_neighbours(experiment)
            found["decoder"] = lambda latent, explain: cofiring[latent.dictionary].of(alike(latent))
    return tuple(found[kind] for kind in wanted.hard)


def _embedder(model: str | None) -> near.Embed:
    assert model is not None, "the study was checked to name a model"
    return embedding.open(embedding.Config(model=model)).embed


def _decoder_neighbours(experiment: Experiment) -> Callable[[LatentId], NDArray[np.intp]]:
    """Return what gives a latent's nearest reference latents of its dictionary by the cosine of decoder rows."""
    controls = {one.name for one in experiment.study.dictionaries if one.control is not None}
    # A control arm has no decoder rows, hence no neighbours.
    weights = {one.name: one.W_dec for one in experiment.opened if one.name not in controls}

    def rows(name: str, latents: list[int]) -> NDArray[np.floating]:
        return weights[name][latents].float().cpu().numpy()

    decoders = {
        name: near.Decoders(latents, rows(name, latents.tolist()))
        for name, latents in experiment.collected.references.items()
        if name in weights
    }

    def of(latent: LatentId) -> NDArray[np.intp]:
        if latent.dictionary not in decoders:
            return np.empty(0, np.intp)
        return decoders[latent.dictionary].near(latent.index, rows(latent.dictionary, [latent.index])[0])

    return of


def _examples(experiment: Experiment, latent: LatentId, drawing: Drawing) -> tuple[LatentExamples, select.Positives]:
    wanted, collected, seed = experiment.study.examples, experiment.collected, experiment.study.seed
    firing = collected.firing(latent.dictionary, latent.index)
    found = select.positives(
        collected.windows,
        firing,
        latent=latent,
        n_explain=wanted.n_explain,
        n_held_out=wanted.n_positives,
        seed=seed,
        fit=drawing.fit,
    )

    like = contrast.shapes(collected.windows, np.array([one.window for one in found.held_out], dtype=np.int64))

    def silent(split: bool, n: int) -> tuple[Example, ...]:
        return contrast.negatives(
            collected.windows,
            firing,
            drawing.pools[split],
            latent=latent,
            n=n,
            seed=seed,
            n_hard=wanted.n_hard if split else 0,
            near=[search(latent, found.explain) for search in drawing.hard] if split else (),
            shapes=drawing.shapes if split else None,
            like=like,
        )

    examples = LatentExamples(
        latent=latent,
        explain=found.explain,
        explain_contrast=silent(False, wanted.n_explain_negatives),
        held_out=found.held_out,
        contrast=silent(True, wanted.n_negatives),
    )
    return examples, found


def _planted(experiment: Experiment, drawing: Drawing) -> Iterator[LatentExamples]:
    study, wanted = experiment.study, experiment.study.examples
    return planted.examples(
        experiment.collected.windows,
        drawing.pools[True],
        n_rules=study.controls.n_planted,
        n_positives=wanted.n_positives,
        n_negatives=wanted.n_negatives,
        seed=study.seed,
    )
