"""SAEBench: `<release>_<sae>_eval_results.json` of its `autointerp` evaluation, one file per SAE.

Source: SAEBench at 8042bb3 (evals/autointerp/eval_output.py, evals/autointerp/main.py). Its score is the plain accuracy
over 14 contexts (4 activating, 10 random): a judge that always says no gets .714.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autointerp.report.imports.base import Imported, table_of

PATTERN = "*_eval_results.json"
NOTES = ("SAEBench's scores: plain accuracy, .714 for a judge that always says no; not to be mixed with scores here",)


def recognises(folder: Path) -> bool:
    """Whether there are result files in this folder or below it."""
    return any(folder.rglob(PATTERN))


def read(folder: Path) -> Imported:
    """Read the score of each SAE (`latent` is -1), and of its latents where the file has them.

    Raises:
        TableError: no file of the autointerp evaluation can be read.
    """
    left: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.rglob(PATTERN)):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["eval_type_id"] != "autointerp":
                left[f"files of evaluation {record['eval_type_id']}"] += 1
                continue
            rows += _rows(record)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            left["unreadable files"] += 1
    return Imported(table=table_of(rows, folder), left_out=dict(left), notes=NOTES)


def _rows(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    name = "/".join(str(record[key]) for key in ("sae_lens_release_id", "sae_lens_id") if record.get(key))
    metrics = record["eval_result_metrics"]["autointerp"]
    yield {"dictionary": name, "latent": -1, "scorer": "accuracy", "score": float(metrics["autointerp_score"])}
    latents = record.get("eval_result_unstructured") or {}
    for latent, found in latents.items() if isinstance(latents, dict) else ():
        if str(latent).isdigit() and isinstance(found, dict) and "score" in found:
            text = found.get("explanation")
            yield {
                "dictionary": name,
                "latent": int(latent),
                "scorer": "accuracy",
                "score": float(found["score"]),
                "explanation": text if isinstance(text, str) else None,
            }
