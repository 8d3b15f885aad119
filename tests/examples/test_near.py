"""Hard negatives are near in words, in meaning, by co-firing or by decoder rows, by independent dense computations."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

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


def test_cofiring_neighbours_are_those_of_the_dense_matrix() -> None:
    """By dense numpy: the three other reference latents with the greatest cosine of co-firing, the first of equals.

    A window is near by the sum of their peaks in it, each over the latent's own greatest.
    """
    firings = {3 * i + 1: graded(planted.firing(rule, corpus(), POOL), i) for i, rule in enumerate(RULES[:40])}
    numbers = [*firings][:30]
    firings[numbers[7]] = firings[numbers[8]]
    dense = {number: np.isin(POOL, corpus().of(f.positions)).astype(float) for number, f in firings.items()}
    cofiring = near.Cofiring(corpus(), POOL, numbers, firings.__getitem__)
    for latent, firing in firings.items():  # those of the reference, and ten others
        cosine = {
            other: dense[other] @ dense[latent] / max(1, np.linalg.norm(dense[other]))
            for other in numbers
            if other != latent
        }
        same = [other for other in cosine if cosine[other] > 0]
        nearest = sorted(same, key=lambda other: (-round(float(cosine[other]), 9), other))[: near.N_NEIGHBOURS]
        expected = sum((strength(firings[other]) for other in nearest), np.zeros(len(POOL)))
        np.testing.assert_allclose(cofiring.near(latent, firing), expected, atol=1e-12)


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


def test_decoder_neighbours_are_those_of_the_dense_matrix() -> None:
    """Nearest first by cosine, whatever the rows' norms, never the row itself; a row of zeros has none."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9, 4)) * rng.uniform(0.1, 10, size=(9, 1))
    latents = np.arange(9) * 2
    decoders = near.Decoders(latents, rows)
    for i, row in enumerate(rows):
        cosine = {
            j: row @ other / np.linalg.norm(row) / np.linalg.norm(other) for j, other in enumerate(rows) if j != i
        }
        expected = [j for j in sorted(cosine, key=lambda j: -cosine[j]) if cosine[j] > 0][: near.N_NEIGHBOURS]
        assert decoders.near(2 * i, row).tolist() == expected
    assert near.Decoders(latents[:1], rows[:1]).near(0, rows[0]).tolist() == []
    assert decoders.near(1, np.zeros(4)).tolist() == []


def test_windows_of_given_neighbours_are_those_in_which_any_fires() -> None:
    """What decoder neighbours are looked up by."""
    firings = [planted.firing(rule, corpus(), POOL) for rule in RULES[:4]]
    cofiring = near.Cofiring(corpus(), POOL, range(4), firings.__getitem__)
    expected = {int(window) for one in firings[1:3] for window in corpus().of(np.asarray(one.positions))}
    assert set(POOL[cofiring.of([1, 2]) > 0].tolist()) == expected
    assert not cofiring.of([]).any()


def test_a_latent_without_neighbours_has_none() -> None:
    """A latent alone in its dictionary, or that never fires in the pool, has no neighbours' windows; one without
    positives has none near in words."""
    silent = Firing(positions=np.array([], np.int64), values=np.array([]))
    firings = {0: planted.firing(RULES[0], corpus(), POOL), 1: silent}
    for some in ([0], [1], [0, 1]):
        cofiring = near.Cofiring(corpus(), POOL, some, firings.__getitem__)
        assert not any(cofiring.near(latent, firings[latent]).any() for latent in some)
    assert not near.Words(corpus(), POOL).near(()).any()


def test_a_neighbour_that_fires_nearly_everywhere_leaves_a_small_stratum() -> None:
    """Windows in which it fires most are near, not all in which it fires: hard negatives stay hard in small samples."""
    rng = np.random.default_rng(0)
    everywhere = np.sort(np.concatenate([corpus().starts[POOL] + i for i in (0, 1)]))
    dense = Firing(positions=everywhere, values=rng.gamma(2, size=len(everywhere)))
    own = planted.firing(RULES[0], corpus(), POOL)
    latent = LatentId("a", "s", 0)
    nearness = near.Cofiring(corpus(), POOL, [0, 1], [own, dense].__getitem__).near(0, own)
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
