"""A latent's examples as rows of `examples.parquet`, and back: later stages need no subject and no tokenizer."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from autointerp.records import PLANTED, Example, LatentExamples, LatentId

KEPT = ("kind", "stratum", "stratum_share")
# (split, is it a positive) of each field of LatentExamples.
FIELDS = {
    ("explain", True): "explain",
    ("explain", False): "explain_contrast",
    ("held_out", True): "held_out",
    ("held_out", False): "contrast",
}


def to_rows(examples: LatentExamples) -> Iterator[dict[str, Any]]:
    """Yield one row per example, in order; the columns are `tables.EXAMPLES`."""
    latent = examples.latent
    for (split, _), name in FIELDS.items():
        for example in getattr(examples, name):
            yield {
                "dictionary": latent.dictionary,
                "site": latent.site,
                "latent": latent.index,
                "planted": latent.planted,
                "split": split,
                **{key: getattr(example, key) for key in KEPT},
                "window_id": example.window,
                "document_id": example.document,
                "pieces": list(example.pieces),
                "activations": list(example.activations),
            }


def from_rows(rows: Iterable[dict[str, Any]]) -> Iterator[LatentExamples]:
    """Yield one record per run of rows of the same latent; inverse of `to_rows` up to float32."""
    for (dictionary, site, index), group in groupby(
        rows, key=lambda row: (row["dictionary"], row["site"], row["latent"])
    ):
        found: dict[str, list[Example]] = {name: [] for name in FIELDS.values()}
        planted = False
        for row in group:
            planted = row.get("planted", dictionary == PLANTED)  # schema 1 has no such column
            found[FIELDS[row["split"], row["kind"] == "positive"]].append(
                Example(
                    window=row["window_id"],
                    document=row["document_id"],
                    pieces=tuple(row["pieces"]),
                    activations=tuple(row["activations"]),
                    **{key: row[key] for key in KEPT},
                )
            )
        parts = {name: tuple(items) for name, items in found.items()}
        yield LatentExamples(latent=LatentId(dictionary, site, index, planted), **parts)
