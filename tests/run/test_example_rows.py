"""Examples survive the trip to rows and back, and no document stands in both splits."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from autointerp.records import Example, LatentExamples, LatentId
from autointerp.run.example_rows import from_rows, to_rows
from autointerp.run.record_rows import planted_latents
from autointerp.run.store import Run


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


def test_planted_latents_are_marked_by_a_column(tmp_path: Path) -> None:
    """The column decides, whatever the dictionary's name; examples of schema 1, which has none, go by the name."""
    records = [latent(7), replace(latent(3), latent=LatentId("rules", "text", 3, planted=True))]
    rows = [row for record in records for row in to_rows(record)]
    assert list(from_rows(rows)) == records
    old = [{key: value for key, value in row.items() if key != "planted"} for row in rows]
    assert not any(one.latent.planted for one in from_rows(old))
    old = [row | {"dictionary": "planted"} for row in old]
    assert all(one.latent.planted for one in from_rows(old))
    for name, table, n in (("new", rows, 1), ("old", old, 2)):
        run = Run(tmp_path / name)
        run.write("examples", pd.DataFrame(table))
        assert len(planted_latents(run)) == n


def test_a_document_in_both_splits_cannot_be_built() -> None:
    """Showing an explainer a document that is judged later is impossible by construction."""
    shown = example(1, 0)
    with pytest.raises(AssertionError, match="in both splits"):
        LatentExamples(
            latent=LatentId("sae", "s", 0), explain=(shown,), explain_contrast=(), held_out=(shown,), contrast=()
        )
