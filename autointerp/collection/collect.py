"""One pass of the subject over the corpus for all dictionaries: firing counts of every latent, activations of a sample.

A survey of the corpus's first shards keeps every latent's activations; from its firing rates the sample is drawn; the
survey's shards are thinned to the sample, and the other shards keep the sample only. So nothing is computed twice. The
unit of work is a pure function of one shard's tokens and the study (`collect_device`): shards can be computed anywhere,
in any order, and are complete or absent.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autointerp.collection import latents as table
from autointerp.collection import sample, shards
from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.collection import Collection
from autointerp.collection.device import Placed, check
from autointerp.collection.memory import peak_memory
from autointerp.collection.shard_pass import Engine, Sample, ShardPass, hash_tokens
from autointerp.console import Bar
from autointerp.corpus.base import Tokens
from autointerp.examples.base import ExamplesConfig
from autointerp.run.store import fingerprint
from autointerp.subject.base import Subject

# A survey sees few windows of a latent: bars are halved in it, so that hardly an eligible latent is left out.
SURVEY_MARGIN = 0.5


def collect(
    subject: Subject,
    placed: Sequence[Placed],
    tokens: Tokens,
    *,
    collection: CollectConfig,
    sampling: SamplingConfig,
    examples: ExamplesConfig,
    folder: Path,
    seed: int,
    engine: Engine | None = None,
) -> Collection:
    """Collect all dictionaries' activations in one pass, or go on where an earlier run was stopped.

    Args:
        subject: the model.
        placed: the dictionaries, each with the site it reads; names are unique.
        tokens: the corpus, which may still be growing.
        collection: how.
        sampling: which latents to keep.
        examples: what makes a latent eligible.
        folder: where shards are stored; finished shards of the same study are reused.
        seed: the study's.
        engine: where shards are computed; in this process if not given.

    Raises:
        DictionaryError: a dictionary does not fit its site.
        SiteError: a site does not exist or does not fire.
        SubjectError: contexts are longer than the subject can read, memory does not suffice, or numbers overflow.
        StudyError: activations do not fit into the chosen type, or the run to sample as has no such dictionary.
        RunDirectoryError: a shard cannot be written.
    """
    check(subject, placed)
    todo = ShardPass(subject, placed, tokens, collection, folder, engine or Engine())
    work = _Work(todo, sampling, examples, seed)
    try:
        with Bar("collect", total=tokens.n_wanted, unit="tokens", estimated=True) as bar:
            drawn = work.drawn(bar)
            found = todo.shards(itertools.count(), drawn, bar)
    except BaseException:
        tokens.close()
        raise
    for path in (folder / "survey").glob("*.safetensors"):
        path.unlink()
    return work.collection(found, drawn)


def survey_shards(tokens: Tokens, sampling: SamplingConfig, collection: CollectConfig) -> range:
    """Return which shards, from the corpus's start, tell firing rates."""
    return range(math.ceil(sampling.survey_share * tokens.n_wanted / collection.shard_tokens))


class _Work:
    """The steps of `collect`, with what they share."""

    def __init__(self, todo: ShardPass, sampling: SamplingConfig, examples: ExamplesConfig, seed: int) -> None:
        self.todo, self.placed, self.tokens, self.folder = todo, todo.placed, todo.tokens, todo.folder
        self.sampling, self.examples, self.seed = sampling, examples, seed
        self.names = [place.dictionary.name for place in todo.placed]

    # ------------------------------------------------------------------ the sample

    def drawn(self, bar: Bar) -> Sample:
        """Return each dictionary's sample, drawn from a survey's firing rates; taken up again once it is drawn."""
        n_latents = {place.dictionary.name: place.dictionary.n_latents for place in self.placed}
        chosen = sample.chosen(self.sampling.latents, n_latents, self.seed)
        if len(chosen) == len(n_latents):
            return chosen
        if self.sampling.n_latents == "all" and self.sampling.same_as is None:
            return {name: chosen.get(name, sample.everything(n)) for name, n in n_latents.items()}
        if self.sampling.same_as is not None:
            return sample.taken(Path(self.sampling.same_as), n_latents, self.seed)
        numbers = survey_shards(self.tokens, self.sampling, self.todo.config)
        tokens = list(self.todo.tokens_of(numbers))
        path = self.folder / "sample.npz"
        key = fingerprint(
            self.todo.key,
            [hash_tokens(part) for part in tokens],
            self.sampling.model_dump(),
            self.examples.model_dump(),
            self.tokens.n_wanted,
            self.seed,
        )
        if (found := sample.load(path, key, self.names)) is not None:
            return found
        survey = self.todo.shards(numbers, None, bar)
        whole = self.tokens.shard(len(survey), self.todo.config.shard_tokens) is None
        drawn = {name: chosen.get(name) or self._draw(name, survey, whole=whole) for name in self.names}
        sample.save(path, key, drawn)
        return drawn

    def _draw(self, name: str, survey: Sequence[shards.Shard], *, whole: bool) -> sample.Drawn:
        counts = total(survey, name)
        scale = 1.0 if whole else max(1.0, self.tokens.n_wanted / counts.n_tokens)
        margin = 1.0 if whole else SURVEY_MARGIN
        frame = np.flatnonzero(table.statuses(counts, self.examples, scale=scale, margin=margin) == "eligible")
        chances, numbers = np.zeros(len(counts.tokens)), sample.permanent(self.seed, name, len(counts.tokens))
        n = len(frame) if self.sampling.n_latents == "all" else self.sampling.n_latents
        weights = sample.weights(counts.tokens[frame] / counts.n_tokens, self.sampling.proportional_share)
        chances[frame] = sample.inclusion(weights, n)
        return sample.Drawn(
            latents=frame[sample.joining(weights, numbers[frame])[:n]],
            chances=chances,
            reference=sample.reference(frame, numbers),
        )

    # ------------------------------------------------------------------ the result

    def collection(self, found: Sequence[shards.Shard], drawn: Sample) -> Collection:
        """Put the latents table together."""
        windows = self.tokens.windows()
        latents = pd.concat([self._rows(place, found, drawn) for place in self.placed], ignore_index=True)
        mark = fingerprint(
            self.todo.key, windows.fingerprint, self.sampling.model_dump(), self.examples.model_dump(), self.seed
        )
        counts = self.tokens.counts() | {
            "latents": len(latents),
            "eligible": int(latents["eligible"].sum()),
            "drawn": sum(len(mine.chances if mine.latents is None else mine.latents) for mine in drawn.values()),
            "sampled": int(latents["sampled"].sum()),
            "tokens_computed": self.todo.n_tokens,
            "bytes_written": self.todo.n_bytes,
            "bytes_kept": sum(path.stat().st_size for path in self.folder.rglob("*.safetensors")),
            "peak_memory_bytes": max(peak_memory(), self.todo.peak_memory),
        }
        own = {name: latents[latents["dictionary"] == name] for name in drawn}
        return Collection(
            windows=windows,
            latents=latents,
            counts=counts,
            seconds=self.todo.clock.seconds,
            shards=found,
            references={name: self._reference(mine, own[name]) for name, mine in drawn.items()},
            fingerprint=mark,
        )

    def _reference(self, drawn: sample.Drawn, latents: pd.DataFrame) -> NDArray[np.int64]:
        """Return the latents among which a dictionary's neighbours are looked for; of all latents those that fire."""
        if drawn.latents is not None:
            return drawn.reference
        name, eligible = latents["dictionary"].iloc[0], latents.loc[latents["eligible"], "latent"].to_numpy(np.int64)
        return sample.reference(eligible, sample.permanent(self.seed, name, len(latents)))

    def _rows(self, place: Placed, found: Sequence[shards.Shard], drawn: Sample) -> pd.DataFrame:
        name, mine = place.dictionary.name, drawn[place.dictionary.name]
        numbers = sample.permanent(self.seed, name, len(mine.chances))
        return table.rows(
            total(found, name),
            self.examples,
            dictionary=name,
            architecture=place.dictionary.architecture,
            site=str(place.site),
            chances=mine.chances,
            drawn=np.argsort(numbers, kind="stable") if mine.latents is None else mine.latents,
        )


def total(found: Sequence[shards.Shard], name: str) -> table.FiringCounts:
    """Add up one dictionary's counts over shards."""
    parts = [shard.kept[name] for shard in found]
    n_tokens, n_explain, n_held_out = (int(n) for n in np.sum([shard.n for shard in found], axis=0))
    return table.FiringCounts(
        tokens=_sum([part.tokens for part in parts]),
        explain=_sum([part.explain for part in parts]),
        held_out=_sum([part.held_out for part in parts]),
        n_tokens=n_tokens,
        n_explain=n_explain,
        n_held_out=n_held_out,
    )


def _sum(parts: Sequence[NDArray[np.integer]]) -> NDArray[np.int64]:
    found = np.zeros(len(parts[0]), dtype=np.int64)
    for part in parts:
        found += part
    return found
