"""Hard negatives are near in words, in meaning, by co-firing or by decoder rows, by independent dense computations."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from autointerp.examples import contrast, near, planted
from autointerp.examples.bank import RULES
from autointerp.examples.base import Firing
from autointerp.records import LatentId
from tests.helpers.planted import corpus, latents

POOL = contrast.pool(corpus(), held_out=True, size=400, seed=0)


def graded(firing: Firing, seed: int) -> Firing:
    """The same positions with values that differ."""
    return Firing(positions=firing.positions, values=np.random.default_rng(seed).gamma(2, size=len(firing.positions)))


def strength(firing: Firing) -> np.ndarray:
    """By a plain loop: the greatest value in each window of the pool, over the greatest of all."""
    peaks = dict.fromkeys(POOL.tolist(), 0.0)
    for window, value in zip(corpus().of(np.asarray(firing.positions)).tolist(), firing.values.tolist(), strict=True):
        if window in peaks:
            peaks[window] = max(peaks[window], value)
    return np.array([peaks[window] for window in POOL.tolist()]) / (max(peaks.values()) or 1)


def test_near_in_words_is_the_dense_tf_idf_ranking() -> None:
    """The same numbers as a plain loop over texts finds: counts, smoothed idf, cosine to the mean of the positives."""
    examples = latents(3)[0]
    texts = [corpus().pieces(int(window)) for window in POOL]
    n_in = Counter(piece for text in texts for piece in set(text))
    vocabulary = sorted({p for text in texts for p in text} | {p for e in examples.explain for p in e.pieces})
    column = {piece: i for i, piece in enumerate(vocabulary)}

    def vector(text: tuple[str, ...]) -> np.ndarray:
        made = np.zeros(len(vocabulary))
        for piece, count in Counter(text).items():
            made[column[piece]] = count * (np.log((1 + len(POOL)) / (1 + n_in[piece])) + 1)
        return made / np.linalg.norm(made)

    mean = np.mean([vector(example.pieces) for example in examples.explain], axis=0)
    likeness = np.array([vector(text) @ mean for text in texts])
    np.testing.assert_allclose(near.Words(corpus(), POOL).near(examples.explain), likeness, atol=1e-12)


@pytest.mark.parametrize("pairs", [1, 500, 2**23])
def test_cofiring_neighbours_are_those_of_the_dense_matrix(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of any size, by dense numpy: the three other latents with the greatest cosine of co-firing.

    A window is near by the sum of their peaks in it, each over the latent's own greatest.
    """
    monkeypatch.setattr(near, "PAIRS", pairs)
    numbers = [3 * i + 1 for i in range(30)]
    firings = {
        number: graded(planted.firing(rule, corpus(), POOL), number)
        for number, rule in zip(numbers, RULES, strict=False)
    }
    firings[numbers[7]] = firings[numbers[8]]  # equals: the smaller index first
    dense = np.array([np.isin(POOL, corpus().of(f.positions)) for f in firings.values()], dtype=float)
    peaks = np.array([strength(firing) for firing in firings.values()])
    cofiring = near.Cofiring(corpus(), POOL, numbers, firings.__getitem__)
    for i, latent in enumerate(numbers):
        norms = np.linalg.norm(dense, axis=1).clip(1)
        cosine = dense @ dense[i] / norms / norms[i]
        same = [j for j in range(len(numbers)) if j != i and cosine[j] > 0]
        nearest = sorted(same, key=lambda j: (-round(cosine[j], 12), j))[: near.N_NEIGHBOURS]
        np.testing.assert_allclose(cofiring.near(latent), peaks[nearest].sum(axis=0), atol=1e-12)


def test_near_in_meaning_is_the_plain_ranking_of_cosines() -> None:
    """Whatever the model: the cosine to the mean vector of the positives' texts."""

    def embed(texts: Sequence[str]) -> np.ndarray:
        letters = np.array([[text.lower().count(letter) for letter in "etaoinshrdlu"] for text in texts], dtype=float)
        return letters / np.linalg.norm(letters, axis=1, keepdims=True).clip(1e-9)

    explain = latents(3)[0].explain
    found = near.Meanings(corpus(), POOL, embed).near(explain)
    mean = sum(embed([example.text])[0] for example in explain) / len(explain)
    likeness = [float(embed(["".join(corpus().pieces(int(window)))])[0] @ mean) for window in POOL]
    np.testing.assert_allclose(found, likeness, atol=1e-12)
    assert not near.Meanings(corpus(), POOL, embed).near(()).any()
    assert len(near.Meanings(corpus(), POOL[:0], embed).near(explain)) == 0


@pytest.mark.parametrize("block", [2, 1024])
def test_decoder_neighbours_are_those_of_the_dense_matrix(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of any size: nearest first by cosine, whatever the rows' norms, never the row itself."""
    monkeypatch.setattr(near, "BLOCK", block)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9, 4)) * rng.uniform(0.1, 10, size=(9, 1))
    found = near.decoder_neighbours(rows)
    assert found.shape == (9, near.N_NEIGHBOURS)
    for i, row in enumerate(rows):
        cosine = {
            j: row @ other / np.linalg.norm(row) / np.linalg.norm(other) for j, other in enumerate(rows) if j != i
        }
        assert found[i].tolist() == sorted(cosine, key=lambda j: -cosine[j])[: near.N_NEIGHBOURS]
    assert near.decoder_neighbours(rows[:2]).tolist() == [[1], [0]]
    assert near.decoder_neighbours(rows[:1]).shape == (1, 0)
    assert near.decoder_neighbours(np.zeros((5, 4))).shape == (5, near.N_NEIGHBOURS)


def test_windows_of_given_neighbours_are_those_in_which_any_fires() -> None:
    """What decoder neighbours are looked up by."""
    firings = {i: planted.firing(rule, corpus(), POOL) for i, rule in enumerate(RULES[:4])}
    cofiring = near.Cofiring(corpus(), POOL, [*firings], firings.__getitem__)
    some = [*firings][1:3]
    expected = {int(window) for one in some for window in corpus().of(np.asarray(firings[one].positions))}
    assert set(POOL[cofiring.of(some) > 0].tolist()) == expected
    assert not cofiring.of([]).any()


def test_a_latent_without_neighbours_has_none() -> None:
    """A latent alone in its dictionary, or that never fires in the pool, has no neighbours' windows; one without
    positives has none near in words."""
    silent = Firing(positions=np.array([], np.int64), values=np.array([]))
    firings = {0: planted.firing(RULES[0], corpus(), POOL), 1: silent}
    for some in ([0], [1], [0, 1]):
        cofiring = near.Cofiring(corpus(), POOL, some, firings.__getitem__)
        assert not any(cofiring.near(latent).any() for latent in some)
    assert not near.Words(corpus(), POOL).near(()).any()


def test_a_neighbour_that_fires_nearly_everywhere_leaves_a_small_stratum() -> None:
    """Windows in which it fires most are near, not all in which it fires: hard negatives stay hard in small samples."""
    rng = np.random.default_rng(0)
    everywhere = np.sort(np.concatenate([corpus().starts[POOL] + i for i in (0, 1)]))
    dense = Firing(positions=everywhere, values=rng.gamma(2, size=len(everywhere)))
    own = planted.firing(RULES[0], corpus(), POOL)
    latent = LatentId("a", "s", 0)
    nearness = near.Cofiring(corpus(), POOL, [0, 1], [own, dense].__getitem__).near(0)
    assert (nearness > 0).all()
    drawn = contrast.negatives(corpus(), own, POOL, latent=latent, n=0, seed=0, n_hard=400, near=[nearness])
    assert 0 < len(drawn) <= round(contrast.NEAR_SHARE * len(POOL))


def test_hard_negatives_are_more_like_positives_than_random_ones() -> None:
    """They are what they are for: over twenty latents they share more words with the positives than random ones do."""
    words = near.Words(corpus(), POOL)
    shared: dict[str, list[float]] = {"hard": [], "random": []}
    for examples in latents(20):
        firing = planted.firing(planted.rule(examples.latent), corpus(), POOL)
        drawn = contrast.negatives(
            corpus(), firing, POOL, latent=examples.latent, n=5, seed=0, n_hard=5, near=[words.near(examples.explain)]
        )
        own = {piece for example in examples.explain for piece in example.pieces}
        for example in drawn:
            shared[example.kind].append(len(own & set(example.pieces)) / len(set(example.pieces)))
    assert np.mean(shared["hard"]) > np.mean(shared["random"]) + 0.05
