"""Examples survive the trip to rows and back, and no document stands in both splits."""

import pytest

from autointerp.records import Example, LatentExamples, LatentId
from autointerp.run.example_rows import from_rows, to_rows


def example(window: int, document: int, **other: object) -> Example:
    fields = {"kind": "positive", "stratum": 3, "stratum_share": 0.1, **other}
    return Example(window=window, document=document, pieces=("a", " <<b"), activations=(0.0, 1.5), **fields)


def latent(index: int) -> LatentExamples:
    return LatentExamples(
        latent=LatentId("sae", "mlp.output", index),
        explain=(example(1, 0), example(2, 0)),
        explain_contrast=(example(3, 0, kind="random", stratum=0, stratum_share=1.0),),
        held_out=(example(4, 1),),
        contrast=(example(5, 1, kind="hard", stratum=1, stratum_share=0.01),),
    )


def test_rows_and_back_is_the_identity() -> None:
    """Two latents in a row come back as the two records, in order."""
    records = [latent(7), latent(8)]
    assert list(from_rows(row for record in records for row in to_rows(record))) == records


def test_a_document_in_both_splits_cannot_be_built() -> None:
    """Showing an explainer a document that is judged later is impossible by construction."""
    shown = example(1, 0)
    with pytest.raises(AssertionError, match="in both splits"):
        LatentExamples(
            latent=LatentId("sae", "s", 0), explain=(shown,), explain_contrast=(), held_out=(shown,), contrast=()
        )
