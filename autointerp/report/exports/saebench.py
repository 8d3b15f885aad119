"""SAEBench: one result file per dictionary in the shape of its `autointerp` evaluation.

Source: SAEBench at 8042bb3 (evals/base_eval_output.py, evals/autointerp/eval_output.py). Its own score is plain
accuracy over 4 positive and 10 random contexts, in which a judge that always says no gets .714. What stands here
under `autointerp_score` is this run's mean balanced accuracy (chance .5), as `eval_result_unstructured.metric` says;
the two must not be put into one column.
"""

import json
import re
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from autointerp._version import __version__
from autointerp.errors import StudyError
from autointerp.report import findings
from autointerp.report.exports.base import Export
from autointerp.report.plain import plain
from autointerp.report.run import ReportRun
from autointerp.run.store import write_atomically

METRIC = "mean over eligible latents of decile-weighted balanced accuracy (chance .5); not SAEBench's accuracy over 14"


class Config(BaseModel):
    """Settings of the export beyond the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scorer: str = Field("detection", description="scorer to take autointerp_score from (its mean)")
    release: str = Field("", description="release name, part of the file's name; default: the study's name")


def write(run: ReportRun, out: Path, config: Config) -> Export:
    """Write `<release>_<dictionary>_eval_results.json` for each dictionary that the scorer judged.

    Raises:
        StudyError: the run has no such scorer.
    """
    if config.scorer not in run.scorers:
        raise StudyError(
            f"export saebench: scorer {config.scorer!r} is not in this run; it has: {', '.join(run.scorers)}"
        )
    release = config.release or run.name
    files, left = [], 0
    for row in run.dictionaries.to_dict("records"):
        found = result(run, {str(key): value for key, value in row.items()}, config.scorer, release)
        if found is None:
            left += 1
            continue
        name = re.sub(r"[^\w.\-]+", "_", f"{release}_{row['dictionary']}_eval_results.json")
        text = json.dumps(plain(found), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        write_atomically(out / name, lambda partial, text=text: partial.write_text(text, encoding="utf-8"))
        files.append(str(out / name))
    return Export(
        files=files,
        counts={"dictionaries": len(files)},
        left_out={"without a score": left} if left else {},
        notes=findings.warnings(findings.findings_of(run)),
    )


def result(run: ReportRun, dictionary: dict[str, Any], scorer: str, release: str) -> dict[str, Any] | None:
    """Make one dictionary's record, or None where it has no score."""
    name, own = dictionary["dictionary"], run.own_scores
    scores = own[(own["dictionary"] == name) & (own["scorer"] == scorer) & own["score"].notna()]
    estimates = run.estimates
    mine = (
        estimates[(estimates["dictionary"] == name) & (estimates["scorer"] == scorer)] if len(estimates) else estimates
    )
    mean = mine[(mine["statistic"] == "score") & (mine["population"] == "eligible")] if len(mine) else mine
    if scores.empty or mean.empty:
        return None
    llms = run.manifest.get("llms", {})
    fingerprint = f"{run.manifest.get('study_fingerprint', '')}/{run.manifest.get('protocol_hash', '')}/{name}/{scorer}"
    return {
        "eval_type_id": "autointerp",
        "eval_config": _config(run, dictionary, len(scores)),
        "eval_id": str(uuid.uuid5(uuid.NAMESPACE_URL, fingerprint)),
        "datetime_epoch_millis": _millis(run),
        "eval_result_metrics": {
            "autointerp": {
                "autointerp_score": float(mean["value"].iloc[0]),
                "autointerp_std_dev": float(scores["score"].std(ddof=1)) if len(scores) > 1 else None,
            }
        },
        "eval_result_details": [],
        "sae_bench_commit_hash": f"not SAEBench: autointerp {__version__}",
        "sae_lens_id": name,
        "sae_lens_release_id": release,
        "sae_lens_version": None,
        "sae_cfg_dict": {
            key: dictionary[key] for key in ("architecture", "k", "d_in", "d_out", "n_latents", "site", "site_out")
        },
        "eval_result_unstructured": {
            "metric": METRIC,
            "warnings": findings.warnings(findings.findings_of(run)),
            "explainer": findings.model_name(llms.get("explainer", {})),
            "judge": findings.model_name(llms.get("judge", {})),
            "scorer": scorer,
            "protocol_hash": run.manifest.get("protocol_hash", ""),
            "estimates": mine.to_dict("records"),
            "latents": scores[["latent", "score", "recall", "specificity", "n_items", "n_unanswered"]].to_dict(
                "records"
            ),
        },
    }


def _millis(run: ReportRun) -> int | None:
    try:
        return int(datetime.fromisoformat(str(run.manifest.get("created"))).timestamp() * 1000)
    except ValueError:
        return None


def _config(run: ReportRun, dictionary: dict[str, Any], n_latents: int) -> dict[str, Any]:
    """Fill SAEBench's settings as far as this run has them; null where it has no such setting or does not know it."""
    protocol, subject, corpus = (run.manifest.get(name, {}) for name in ("protocol", "subject", "corpus"))
    windows, explainer = protocol.get("windows", {}), protocol.get("explainer", {})
    sizes = run.examples[run.examples["dictionary"] == dictionary["dictionary"]]
    held = sizes[sizes["split"] == "held_out"]

    def per_latent(rows: pd.DataFrame) -> int | None:
        return round(len(rows) / rows["latent"].nunique()) if len(rows) else None

    return {
        "model_name": str(subject.get("name") or subject.get("model") or ""),
        "n_latents": n_latents,
        "override_latents": None,
        "dead_latent_threshold": None,
        "random_seed": run.study.get("seed"),
        "dataset_name": str(corpus.get("name") or corpus.get("path") or corpus.get("use") or ""),
        "llm_context_size": windows.get("context_length"),
        "llm_batch_size": None,
        "llm_dtype": subject.get("dtype"),
        "buffer": None,
        "no_overlap": None,
        "act_threshold_frac": None,
        "total_tokens": _tokens(run),
        "scoring": True,
        "max_tokens_in_explanation": explainer.get("max_tokens"),
        "use_demos_in_explanation": None,
        "n_top_ex_for_generation": None,
        "n_iw_sampled_ex_for_generation": per_latent(sizes[sizes["split"] == "explain"]),
        "n_top_ex_for_scoring": None,
        "n_random_ex_for_scoring": per_latent(held[held["kind"] == "random"]),
        "n_iw_sampled_ex_for_scoring": per_latent(held[held["kind"] == "positive"]),
    }


def _tokens(run: ReportRun) -> int | None:
    """Return the number of tokens that were read."""
    found = run.manifest.get("stages", {}).get("collect", {}).get("counts", {}).get("tokens")
    return None if found is None else int(found)
