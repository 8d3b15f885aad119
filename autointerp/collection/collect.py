"""One pass of the subject over the corpus for all dictionaries: firing counts of every latent, activations of a sample.

A survey of the corpus's first shards keeps every latent's activations; from its firing rates the sample is drawn; the
survey's shards are thinned to the sample, and the other shards keep the sample only. So nothing is computed twice. The
unit of work is a pure function of one shard's tokens and the study (`collect_device`): shards can be computed anywhere,
in any order, and are complete or absent.
"""

import hashlib
import math
import resource
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autointerp.collection import latents as table
from autointerp.collection import sample, shards
from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.collection.batches import Contexts
from autointerp.collection.collection import Collection
from autointerp.collection.device import Clock, Device, Placed, check, encoder_hash
from autointerp.console import Bar
from autointerp.corpus.base import ShardTokens, Tokens
from autointerp.errors import StudyError
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

    Raises:
        DictionaryError: a dictionary does not fit its site.
        SiteError: a site does not exist or does not fire.
        SubjectError: contexts are longer than the subject can read, memory does not suffice, or numbers overflow.
        StudyError: activations do not fit into the chosen type, or the run to sample as has no such dictionary.
        RunDirectoryError: a shard cannot be written.
    """
    check(subject, placed)
    work = _Work(subject, placed, tokens, collection, sampling, examples, folder, seed)
    try:
        with Bar("collect", total=tokens.n_wanted, unit="tokens", estimated=True) as bar:
            drawn = work.drawn(bar)
            found = list(work.every_shard(drawn, bar))
    except BaseException:
        tokens.close()
        raise
    for path in (folder / "survey").glob("*.safetensors"):
        path.unlink()
    return work.collection(found, drawn)


def survey_shards(tokens: Tokens, sampling: SamplingConfig, collection: CollectConfig) -> range:
    """Return which shards, from the corpus's start, tell firing rates."""
    return range(math.ceil(sampling.survey_share * tokens.n_wanted / collection.shard_tokens))


Sample = Mapping[str, sample.Drawn]


class _Work:
    """The steps of `collect`, with what they share."""

    def __init__(
        self,
        subject: Subject,
        placed: Sequence[Placed],
        tokens: Tokens,
        collection: CollectConfig,
        sampling: SamplingConfig,
        examples: ExamplesConfig,
        folder: Path,
        seed: int,
    ) -> None:
        self.clock = Clock()
        self.device = Device(subject, placed, collection, self.clock)
        self.subject, self.placed, self.tokens = subject, placed, tokens
        self.config, self.sampling, self.examples, self.seed = collection, sampling, examples, seed
        self.names = [place.dictionary.name for place in placed]
        self.folder = folder
        self.n_tokens = self.n_bytes = 0
        encoders = [(p.dictionary.name, str(p.site), encoder_hash(p.dictionary)) for p in placed]
        self.key = fingerprint(subject.fingerprint, encoders, collection.values, collection.shard_tokens)

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
        tokens = list(self._tokens(survey_shards(self.tokens, self.sampling, self.config)))
        path = self.folder / "sample.npz"
        key = fingerprint(
            self.key,
            [_hash(part) for part in tokens],
            self.sampling.model_dump(),
            self.examples.model_dump(),
            self.tokens.n_wanted,
            self.seed,
        )
        if (found := sample.load(path, key, self.names)) is not None:
            return found
        survey = [self._shard(number, part, None, bar) for number, part in enumerate(tokens)]
        whole = self.tokens.shard(len(survey), self.config.shard_tokens) is None
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

    # ------------------------------------------------------------------ shards

    def every_shard(self, drawn: Sample, bar: Bar) -> Iterator[shards.Shard]:
        """Yield every shard of the corpus for the sample: reused, filtered from the survey's, or computed."""
        for number, tokens in enumerate(self._tokens(range(2**40))):
            yield self._shard(number, tokens, drawn, bar)

    def _tokens(self, numbers: range) -> Iterator[ShardTokens]:
        for number in numbers:
            with self.clock("tokens"):
                tokens = self.tokens.shard(number, self.config.shard_tokens)
            if tokens is None:
                return
            yield tokens

    def _shard(self, number: int, tokens: ShardTokens, drawn: Sample | None, bar: Bar) -> shards.Shard:
        path, key = self._place(number, tokens, drawn)
        found = shards.read(path, key)
        if found is None:
            shard = self._thinned(number, tokens, drawn) or self._computed(tokens, drawn, bar)
            with self.clock("write"):
                self.n_bytes += shards.write(path, shard, key)
            found = shards.read(path, key)
        assert found is not None, f"{path} was just written"
        return found

    def _place(self, number: int, tokens: ShardTokens, drawn: Sample | None) -> tuple[Path, str]:
        """Return a shard's folder and the hash of everything it depends on."""
        kept = {name: None if part.kept is None else part.kept.tolist() for name, part in (drawn or {}).items()}
        kind = "survey" if drawn is None else "shards"
        return self.folder / kind / f"{number:06d}.safetensors", fingerprint(self.key, _hash(tokens), kept)

    def _thinned(self, number: int, tokens: ShardTokens, drawn: Sample | None) -> shards.Shard | None:
        """Keep of the survey's shard the sample only; None where the survey has no such shard."""
        survey = shards.read(*self._place(number, tokens, None)) if drawn is not None else None
        if drawn is None or survey is None:
            return None
        kept = {}
        for name, part in survey.kept.items():
            latents = drawn[name].kept
            kept[name] = part if latents is None else part.only(latents)
        return shards.Shard(kept=kept, n=survey.n)

    def _computed(self, tokens: ShardTokens, drawn: Sample | None, bar: Bar) -> shards.Shard:
        limit = getattr(self.subject.model.config, "max_position_embeddings", None)
        longest = int(Contexts(tokens).lengths.max())
        if limit is not None and longest > limit:
            raise StudyError(
                f"windows.context_length: a context of {longest} tokens with BOS is longer than the subject's {limit} "
                f"positions; set it to {limit - 1} or less"
            )
        keep = {name: None if drawn is None else drawn[name].kept for name in self.names}
        shard = self.device.compute(tokens, keep, bar)
        self.n_tokens += len(tokens.tokens)
        return shard

    # ------------------------------------------------------------------ the result

    def collection(self, found: Sequence[shards.Shard], drawn: Sample) -> Collection:
        """Put the latents table together."""
        windows = self.tokens.windows()
        latents = pd.concat([self._rows(place, found, drawn) for place in self.placed], ignore_index=True)
        mark = fingerprint(
            self.key, windows.fingerprint, self.sampling.model_dump(), self.examples.model_dump(), self.seed
        )
        counts = self.tokens.counts() | {
            "latents": len(latents),
            "eligible": int(latents["eligible"].sum()),
            "drawn": sum(len(mine.chances if mine.latents is None else mine.latents) for mine in drawn.values()),
            "sampled": int(latents["sampled"].sum()),
            "tokens_computed": self.n_tokens,
            "bytes_written": self.n_bytes,
            "bytes_kept": sum(path.stat().st_size for path in self.folder.rglob("*.safetensors")),
            "peak_memory_bytes": peak_memory(),
        }
        own = {name: latents[latents["dictionary"] == name] for name in drawn}
        return Collection(
            windows=windows,
            latents=latents,
            counts=counts,
            seconds=self.clock.seconds,
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


def _hash(tokens: ShardTokens) -> str:
    seen = hashlib.sha256(f"{tokens.bos} {tokens.window_length}".encode())
    for name in ("tokens", "segment_starts", "segment_contexts", "window_starts", "window_held_out"):
        seen.update(np.ascontiguousarray(getattr(tokens, name)).data)
    return seen.hexdigest()


def peak_memory() -> int:
    """Return the most memory this process held at once, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # `ru_maxrss` would begin with what the parent process held
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
