"""Records as rows of the run's tables, and rows as records again; how far each latent came."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from autointerp.records import PLANTED, Explanation, Judgement, LatentExamples, LatentId, PromptRecord
from autointerp.run import tables
from autointerp.run.example_rows import from_rows
from autointerp.run.store import Run

Counts = dict[str, Any]


def key(latent: LatentId) -> dict[str, object]:
    """Return the columns that name a latent."""
    return {"dictionary": latent.dictionary, "site": latent.site, "latent": latent.index}


def explanation_row(explanation: Explanation) -> dict[str, object]:
    """Return an explanation as a row of `tables.EXPLANATIONS`."""
    row = {name: getattr(explanation, name) for name in tables.EXPLANATIONS if hasattr(explanation, name)}
    return {**row, **key(explanation.latent)}


def question_row(row: PromptRecord) -> dict[str, object]:
    """Return how a prompt ended as a row of `tables.QUESTIONS`."""
    return {name: getattr(row, name) for name in tables.QUESTIONS}


def judgement_row(judgement: Judgement) -> dict[str, object]:
    """Return a judgement as a row of `tables.JUDGEMENTS`."""
    item = judgement.item
    return {
        **key(judgement.latent),
        **{name: getattr(judgement, name) for name in ("scorer", "control", "question_id", "position", "answer")},
        **{name: getattr(judgement, name) for name in ("explanation_id", "status", "n_retries")},
        **{name: getattr(item, name) for name in ("kind", "stratum", "stratum_share", "truth")},
        "document_id": item.document,
        "window_id": item.window,
        "probability": float("nan") if judgement.probability is None else judgement.probability,
    }


def read_examples(run: Run) -> Iterator[LatentExamples]:
    """Yield every sampled latent's examples from `examples.parquet`, in flat memory."""
    with pq.ParquetFile(run.verified("examples.parquet")) as file:
        rows = itertools.chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(batch_size=4096))
        yield from from_rows(rows)


def planted_latents(run: Run) -> list[LatentId]:
    """Return the planted latents that have examples."""
    names = pq.read_schema(run.verified("examples.parquet")).names
    rows = run.read("examples", [name for name in (*tables.KEY, "planted") if name in names]).drop_duplicates()
    if "planted" not in names:  # tables of schema 1
        rows = rows.assign(planted=rows["dictionary"] == PLANTED)
    return [LatentId(*row) for row in rows[rows["planted"]].itertuples(index=False)]


def read_explanations(run: Run) -> Iterator[Explanation]:
    """Yield the run's explanations, failed ones too."""
    for row in run.read("explanations").to_dict("records"):
        latent = LatentId(row["dictionary"], row["site"], row["latent"])
        rest = {
            name: row[name] for name in ("explanation_id", "explainer", "prompt_hash", "raw", "status", "n_retries")
        }
        yield Explanation(latent=latent, text=row["text"] if row["status"] == "ok" else None, **rest)


def with_status(run: Run, asked: frozenset[LatentId] | None = None) -> pd.DataFrame:
    """Return the latents table with the sampled ones' statuses brought up to date; those not asked stay `sampled`."""
    latents, explanations = run.read("latents"), run.read("explanations")
    judged = run.read("judgements", [*tables.KEY, "control"])
    sampled = latents["sampled"].to_numpy(bool).copy()
    place = pd.MultiIndex.from_frame(latents[tables.KEY])
    explained = place.isin(pd.MultiIndex.from_frame(explanations.loc[explanations["status"] == "ok", tables.KEY]))
    scored = place.isin(pd.MultiIndex.from_frame(judged.loc[judged["control"] == "none", tables.KEY]))
    status = latents["status"].to_numpy(object)
    if asked is not None:
        keys = pd.MultiIndex.from_tuples([(one.dictionary, one.site, one.index) for one in asked], names=tables.KEY)
        status[sampled] = "sampled"
        sampled &= place.isin(keys)
    status[sampled] = np.where(explained, np.where(scored, "scored", "explained"), "explanation_failed")[sampled]
    return latents.assign(status=status)


def sampled_latents(run: Run) -> list[LatentId]:
    """Return the latents that are explained."""
    latents = run.read("latents", [*tables.KEY, "sampled"])
    return [LatentId(*row) for row in latents.loc[latents["sampled"], tables.KEY].itertuples(index=False)]


def look_order(run: Run) -> dict[LatentId, int]:
    """Return the order in which the sampled latents joined the sample."""
    latents = run.read("latents", [*tables.KEY, "sampled", "look_order"])
    rows = latents.loc[latents["sampled"], [*tables.KEY, "look_order"]].itertuples(index=False)
    return {LatentId(name, site, index): rank for name, site, index, rank in rows}


def count_latents(run: Run) -> int:
    """Count the latents that are explained."""
    return len(sampled_latents(run))


def nested(counts: pd.Series) -> Counts:
    """Turn counts under two keys into a dict of dicts, for JSON."""
    found: Counts = {}
    for (outer, inner), n in counts.to_dict().items():  # pyright: ignore[reportGeneralTypeIssues]
        found.setdefault(str(outer), {})[str(inner)] = int(n)
    return found
