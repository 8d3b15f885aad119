"""Write the small outputs of a finished study here: `python publish.py OUT` after `run.sh MODEL TEXT OUT`.

Writes the CSV tables and a thinned log.jsonl beside this file, and README.md's tables between its two markers, from
these files alone: no number in them is typed by hand.
"""

import json
import re
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
METRICS = ["fvu", "ce_increase", "kl", "l0", "dead_share"]
EVERY = 250  # steps between the lines of the log that are kept, beside the last


def arms(out: Path) -> pd.DataFrame:
    """Average what each arm preserves, and how its latents score, over seeds; `_sd` is over seeds."""
    runs = sorted(out.glob("score-seed*"))
    kept = pd.concat([pd.read_parquet(run / "reconstruction.parquet") for run in runs])
    names = pd.concat([pd.read_parquet(run / "dictionaries.parquet") for run in runs])
    scores = pd.read_csv(out / "compare" / "estimates.csv")
    scores = scores[(scores["statistic"] == "score") & (scores["population"] == "eligible")]
    kept = kept[kept["metric"].isin(METRICS)]
    long = pd.concat([kept, scores.assign(metric="score_" + scores["scorer"])])[["dictionary", "metric", "value"]]
    long = long.merge(names[["dictionary", "architecture", "k", "seed"]], on="dictionary")
    grouped = long.groupby(["architecture", "k", "metric"])["value"].agg(mean="mean", sd="std", n_seeds="size")
    return grouped.reset_index()


def arms_table(table: pd.DataFrame) -> list[str]:
    """One line per arm: the mean over seeds, and in brackets the standard deviation over seeds."""
    metrics = [*METRICS, *sorted(name for name in set(table["metric"]) if str(name).startswith("score_"))]
    lines = ["| arm | " + " | ".join(metrics) + " |", "|---|" + "--:|" * len(metrics)]
    for (architecture, k), part in table.groupby(["architecture", "k"]):
        rows = part.set_index("metric")
        cells = [f"{rows.loc[name, 'mean']:.3f} ({rows.loc[name, 'sd']:.3f})" for name in metrics]
        lines.append(f"| {architecture}, k {k} | " + " | ".join(cells) + " |")
    return lines


def claims_table(table: pd.DataFrame) -> list[str]:
    """One line per row of claims.csv, with its verdict and answer as they stand there."""
    heads = ["claim", "contrast", "k", "by", "difference [95 %]", "margin", "verdict", "holds", "scope", "n"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in table.sort_values(["claim", "contrast", "k", "scorer"]).to_dict("records"):
        span = "-" if pd.isna(row["diff"]) else f"{row['diff']:+.4f} [{row['ci95_lo']:+.4f}, {row['ci95_hi']:+.4f}]"
        by = row["quantity"] if pd.isna(row["scorer"]) else row["scorer"]
        cells = [row["claim"], row["contrast"], row["k"] or "all", by, span, row["margin"], row["verdict"],
                 row["holds"], row["scope"], f"{row['n_a']} v {row['n_b']}"]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def main(out: Path) -> None:
    """Write everything."""
    for name in ("claims", "frontier", "reconstruction_comparisons", "comparisons"):
        table = pd.read_csv(out / "compare" / f"{name}.csv")
        if name.endswith("comparisons"):
            table = table[table["scope"] == "architecture"]
        if name == "comparisons":
            table = table[table["population"] == "eligible"].dropna(axis="columns", how="all")
        table.to_csv(HERE / f"{name}.csv", index=False, float_format="%.6g")
    lines = (out / "trained" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [int(json.loads(line)["step"]) for line in lines]
    kept = [line for step, line in zip(steps, lines, strict=True) if step % EVERY == 0 or step in (50, max(steps))]
    (HERE / "log.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    arms(out).to_csv(HERE / "arms.csv", index=False, float_format="%.6g")
    found = [*claims_table(pd.read_csv(HERE / "claims.csv")), "", *arms_table(pd.read_csv(HERE / "arms.csv"))]
    page = (HERE / "README.md").read_text(encoding="utf-8")
    tables = "<!-- tables: publish.py -->\n" + "\n".join(found) + "\n<!-- end of tables -->"
    page = re.sub(r"<!-- tables: publish.py -->.*<!-- end of tables -->", lambda _: tables, page, flags=re.DOTALL)
    (HERE / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
