"""Near latents and surroundings against direct computation."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from autointerp.corpus.base import Windows
from autointerp.examples.base import Firing
from autointerp.experiment import near_latents
from autointerp.records import Example, LatentExamples, LatentId
from tests.helpers.dictionaries import dictionary


def test_decoder_neighbours_are_the_greatest_cosines() -> None:
    """Against the full matrix of cosines, itself left out, negative ones never listed."""
    one = dictionary("sae")
    rows = one.W_dec.double().numpy()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    found = pd.DataFrame(list(near_latents.by_decoder(one, "site", np.array([0, 3]))))
    for latent, part in found.groupby("latent"):
        best = [other for other in np.argsort(-cosines[latent])[: near_latents.N_NEAR] if cosines[latent, other] > 0]
        assert part["other"].tolist() == best
        assert part["value"].to_numpy() == pytest.approx(cosines[latent, best], abs=1e-6)


def test_cofiring_counts_common_tokens() -> None:
    """Latents 4 and 9 share 2 of 3 and 2 tokens; 7 fires alone and is near to none."""
    at = {4: [1, 5, 8], 9: [5, 8], 7: [2]}
    firing = {latent: Firing(positions=np.array(p), values=np.ones(len(p))) for latent, p in at.items()}
    found = cast(Any, SimpleNamespace(firing=lambda name, latent: firing[latent]))
    rows = list(near_latents.by_cofiring(found, "sae", "site", np.array([4, 9, 7])))
    assert [(row["latent"], row["other"]) for row in rows] == [(4, 9), (9, 4)]
    assert rows[0]["value"] == pytest.approx(2 / np.sqrt(3 * 2))


def test_surroundings_stay_within_the_document() -> None:
    """Two documents of two windows each: the first window has nothing before it, the second nothing after it."""
    windows = Windows(
        tokens=np.arange(12),
        starts=np.array([0, 3, 6, 9]),
        length=3,
        documents=np.array([0, 0, 5, 5]),
        held_out=np.zeros(4, dtype=bool),
        decode=lambda ids: tuple(f" {i}" for i in ids),
        fingerprint="",
    )

    def example(window: int, peak: float) -> Example:
        return Example(
            window=window,
            document=0,
            pieces=("a",) * 3,
            activations=(peak, 0, 0),
            kind="positive",
            stratum=0,
            stratum_share=0.1,
        )

    examples = LatentExamples(
        latent=LatentId("sae", "site", 1),
        explain=(example(1, 1.0), example(2, 3.0)),
        explain_contrast=(),
        held_out=(),
        contrast=(),
    )
    rows = list(near_latents.around(windows, examples))
    assert [row["window_id"] for row in rows] == [2, 1]
    assert (rows[0]["before"], rows[0]["after"]) == ("", " 9 10 11")
    assert (rows[1]["before"], rows[1]["after"]) == (" 0 1 2", "")
