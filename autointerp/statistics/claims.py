"""The four claims of "Transcoders Beat Sparse Autoencoders for Interpretability", answered from the comparisons.

    a   transcoders score higher than SAEs                          contrast transcoder - sae, superiority
    b   skip transcoders score as transcoders do                    contrast skip-transcoder - transcoder, equivalence
    c   skip transcoders raise the cross-entropy less               contrast skip-transcoder - transcoder, ce_increase
    d   at equal cross-entropy increase, transcoders score higher   contrasts with sae, heights of curves

Claim b holds only if every scorer shows it. Source: arXiv 2501.18823. Nothing is computed here: a claim takes over
interval and verdict of its comparison, about architectures where seeds were compared, else about the dictionaries at
hand.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from autointerp.run import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is claimed, of which contrasts, and the verdicts that bear it out or speak against it."""

    name: str
    words: str
    contrasts: tuple[str, ...]
    quantity: str
    bears: tuple[str, ...]
    against: tuple[str, ...]


SAME = ("equivalent", "better_but_negligible", "worse_but_negligible")
HIGHER, NOT_HIGHER = ("better", "better_but_negligible"), ("worse", "worse_but_negligible", "equivalent")
CLAIMS = (
    Claim(
        name="a",
        words="transcoders score higher than SAEs",
        contrasts=("transcoder - sae",),
        quantity="score",
        bears=HIGHER,
        against=NOT_HIGHER,
    ),
    Claim(
        name="b",
        words="skip transcoders score as transcoders do",
        contrasts=("skip-transcoder - transcoder",),
        quantity="score",
        bears=SAME,
        against=("better", "worse"),
    ),
    Claim(
        name="c",
        words="skip transcoders raise the cross-entropy less than transcoders",
        contrasts=("skip-transcoder - transcoder",),
        quantity="ce_increase",
        bears=HIGHER,
        against=NOT_HIGHER,
    ),
    Claim(
        name="d",
        words="at equal cross-entropy increase, (skip) transcoders score higher than SAEs",
        contrasts=("transcoder - sae", "skip-transcoder - sae"),
        quantity="score at equal ce_increase",
        bears=HIGHER,
        against=NOT_HIGHER,
    ),
)


def claims(
    comparisons: pd.DataFrame, reconstruction: pd.DataFrame, frontier: pd.DataFrame, judges: Sequence[str]
) -> pd.DataFrame:
    """Answer each claim at each layer and k (d: at each layer), and by each scorer.

    Args:
        comparisons: `tables.COMPARISONS`.
        reconstruction: `tables.RECONSTRUCTION_COMPARISONS`.
        frontier: `secondary_tables.FRONTIER`.
        judges: who judged, such as `pattern`: whose scores these are.

    Returns:
        `tables.CLAIMS`; rows only for what was compared. `holds` is `undecided` unless the verdict decides.
    """
    eligible = comparisons[comparisons["population"] == "eligible"] if len(comparisons) else comparisons
    sources = {
        "score": eligible,
        "ce_increase": _measured(reconstruction),
        "score at equal ce_increase": frontier.assign(k=0, over="dictionaries"),
    }
    rows = [
        _row(claim, row, "" if claim.name == "c" else ", ".join(judges))
        for claim in CLAIMS
        for row in _widest(sources[claim.quantity], claim.contrasts).to_dict("records")
    ]
    rows = _by_both_scorers(rows)
    return tables.check(pd.DataFrame(rows, columns=pd.Index(list(tables.CLAIMS))), tables.CLAIMS, "claims")


def _measured(reconstruction: pd.DataFrame) -> pd.DataFrame:
    own = reconstruction[reconstruction["metric"] == "ce_increase"] if len(reconstruction) else reconstruction
    return own.assign(scorer="")


def _by_both_scorers(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Let claim b hold only where every scorer shows it (intersection-union), at the same contrast, layer and k."""
    place = ("contrast", "over", "layer", "k", "scope")
    own = [row for row in rows if row["claim"] == "b"]
    for row in own:
        beside = [one["holds"] for one in own if all(one[name] == row[name] for name in place)]
        if row["holds"] == "yes" and set(beside) != {"yes"}:
            row["holds"] = "undecided"
    return rows


def _widest(table: pd.DataFrame, contrasts: tuple[str, ...]) -> pd.DataFrame:
    """Rows about architectures where there are some, else those about dictionaries."""
    if table.empty:
        return table
    own = table[table["architectures" if "architectures" in table else "contrast"].isin(contrasts)]
    wide = own[own["scope"] == "architecture"]
    return wide if len(wide) else own


def _row(claim: Claim, row: Mapping[Hashable, object], judge: str) -> dict[str, object]:
    verdict = str(row["verdict"])
    decided = "yes" if verdict in claim.bears else "no" if verdict in claim.against else "undecided"
    return {
        "claim": claim.name,
        "words": claim.words,
        "contrast": row.get("architectures", row["contrast"]),
        "quantity": claim.quantity,
        "over": row["over"],
        "layer": row["layer"],
        "k": row["k"],
        "scorer": row["scorer"],
        "scope": row["scope"],
        "n_a": row["n_a"],
        "n_b": row["n_b"],
        "diff": row["diff"],
        "ci95_lo": row["ci95_lo"],
        "ci95_hi": row["ci95_hi"],
        "margin": row["margin"],
        "verdict": verdict,
        "holds": decided,
        "judge": judge,
    }
