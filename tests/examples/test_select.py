"""Positives: whole windows of two disjoint sets of documents, evenly over deciles of their greatest activation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp.corpus.base import Windows
from autointerp.examples.base import Firing
from autointerp.examples.select import peaks, positives, strata
from autointerp.records import LatentExamples, LatentId

LATENT = LatentId("d", "s", 3)
LENGTH = 8


def corpus(n_windows: int = 400, seed: int = 0) -> Windows:
    """Documents of two windows and a tail of 3 tokens each; every other document is held out."""
    rng = np.random.default_rng(seed)
    number = np.arange(n_windows)
    starts = (number // 2) * (2 * LENGTH + 3) + (number % 2) * LENGTH
    return Windows(
        tokens=rng.integers(0, 26, starts[-1] + LENGTH + 3),
        starts=starts,
        length=LENGTH,
        documents=number // 2,
        held_out=(number // 2) % 2 == 1,
        decode=lambda ids: tuple(chr(97 + int(i)) for i in ids),
        fingerprint="f",
    )


def fire(windows: Windows, rate: float, seed: int = 1) -> Firing:
    rng = np.random.default_rng(seed)
    positions = np.flatnonzero(rng.random(len(windows.tokens)) < rate)
    return Firing(positions=positions.astype(np.uint32), values=rng.exponential(size=len(positions)).astype(np.float32))


def by_hand(windows: Windows, firing: Firing) -> dict[int, list[tuple[int, float]]]:
    """Window -> (position, value) of its activations, by a loop."""
    found: dict[int, list[tuple[int, float]]] = {}
    for position, value in zip(firing.positions.tolist(), firing.values.tolist(), strict=True):
        for window, start in enumerate(windows.starts.tolist()):
            if start <= position < start + LENGTH:
                found.setdefault(window, []).append((position, value))
    return found


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), st.integers(0, 1000))
def test_peaks_are_those_of_a_loop(rate: float, seed: int) -> None:
    windows = corpus(20, seed)
    firing = fire(windows, rate, seed)
    found, expected = peaks(windows, firing), by_hand(windows, firing)
    assert found.windows.tolist() == list(expected)
    for i, entries in enumerate(expected.values()):
        best = max(entries, key=lambda entry: entry[1])
        assert found.values[i] == best[1]
        assert found.tokens[i] == windows.tokens[best[0]]
        at = slice(found.entries[i], found.entries[i + 1])
        assert list(zip(found.positions[at].tolist(), found.activations[at].tolist(), strict=True)) == entries


def test_strata_are_deciles_by_rank() -> None:
    """25 values: deciles of 2 or 3 values each, the weakest in 0 and the strongest in 9, whatever their order."""
    values = np.random.default_rng(0).permutation(25) ** 3.0
    found = strata(values)
    assert np.bincount(found).tolist() == [3, 2, 3, 2, 3, 2, 3, 2, 3, 2]
    assert (np.diff(found[np.argsort(values)]) >= 0).all()


def test_the_two_splits_and_their_deciles() -> None:
    """40 windows to explain by, 4 per decile; 20 to judge on, 2 per decile; no document in both."""
    windows = corpus()
    firing = fire(windows, 0.15)
    found = positives(windows, firing, latent=LATENT, n_explain=40, n_held_out=20, seed=1)
    LatentExamples(latent=LATENT, explain=found.explain, explain_contrast=(), held_out=found.held_out, contrast=())
    for examples, each, split in ((found.explain, 4, False), (found.held_out, 2, True)):
        assert np.bincount([example.stratum for example in examples]).tolist() == [each] * 10
        assert len({example.window for example in examples}) == 10 * each
        assert all(windows.held_out[example.window] == split for example in examples)
    expected = by_hand(windows, firing)
    members = [window for window in expected if not windows.held_out[window]]
    ranked = sorted(members, key=lambda window: max(value for _, value in expected[window]))
    for example in found.explain:
        assert example.stratum == ranked.index(example.window) * 10 // len(ranked)
        values = dict(expected[example.window])
        start = int(windows.starts[example.window])
        assert example.activations == tuple(values.get(start + i, 0.0) for i in range(LENGTH))
        assert example.document == windows.documents[example.window]
        assert example.text == "".join(windows.pieces(example.window))
    modal = [int(windows.tokens[max(expected[w], key=lambda entry: entry[1])[0]]) for w in members]
    assert found.token_share == pytest.approx(max(np.bincount(modal)) / len(modal))
    assert found.peak_token == chr(97 + int(np.bincount(modal).argmax()))


def test_a_draw_depends_on_seed_and_latent_alone() -> None:
    windows = corpus()
    firing = fire(windows, 0.15)

    def draw(seed: int, latent: LatentId) -> list[int]:
        found = positives(windows, firing, latent=latent, n_explain=10, n_held_out=10, seed=seed)
        return [example.window for example in found.explain]

    assert draw(1, LATENT) == draw(1, LATENT)
    assert draw(1, LATENT) != draw(2, LATENT)
    assert draw(1, LATENT) != draw(1, LatentId("d", "s", 4))


@pytest.mark.parametrize("rate", [0.0, 0.01])
def test_too_few_windows_give_what_there_is(rate: float) -> None:
    """All of them, each once; none at all for a latent that never fires."""
    windows = corpus(100)
    firing = fire(windows, rate)
    found = positives(windows, firing, latent=LATENT, n_explain=40, n_held_out=40, seed=0)
    chosen = sorted(example.window for example in found.explain + found.held_out)
    assert chosen == sorted(by_hand(windows, firing))


def test_an_uneven_number_is_spread_as_evenly_as_can_be() -> None:
    """15 of ten deciles: each once or twice, and every decile has its chance of being twice there."""
    windows = corpus()
    firing = fire(windows, 0.15)
    seen = np.zeros(10, dtype=int)
    for seed in range(60):
        found = positives(windows, firing, latent=LATENT, n_explain=15, n_held_out=1, seed=seed)
        sizes = np.bincount([example.stratum for example in found.explain], minlength=10)
        assert set(sizes.tolist()) == {1, 2}
        seen += sizes == 2
    assert seen.min() > 0
