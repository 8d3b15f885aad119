"""Neuronpedia: upload batches as JSON lines within the receiver's limits, and the scores.

Each line of `<dictionary>.jsonl` is the body of one `POST /api/feature/upload-batch`. The API takes no scores, so
`<dictionary>.scores.jsonl` keeps them in the shape of Neuronpedia's own score rows.

Source: the `neuronpedia` client 1.2.1 (requests/feature_request.py) and the service's documented limits.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from autointerp.errors import StudyError
from autointerp.report import findings
from autointerp.report.exports.base import Export
from autointerp.report.plain import plain
from autointerp.report.run import ReportRun, sampled_rows
from autointerp.run import tables
from autointerp.run.store import write_atomically

MAX_FEATURES, MAX_TEXT, MAX_LOGITS, MAX_TOKENS, MAX_INDEX = 128, 512, 20, 1024, 10_000_000
SET_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class Config(BaseModel):
    """Names under which the receiver knows model, method and explainer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str = Field("", description="Neuronpedia's id of the subject, lower case; default: the subject's name")
    method: str = Field("", description="explanation method, as registered with Neuronpedia; default: this run's")
    explainer_model: str = Field("", description="explainer's name, as registered; default: from the manifest")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Logit(_Strict):
    """A token that a latent promotes or suppresses."""

    token: str
    value: float


class UploadExplanation(_Strict):
    """An explanation of at most 512 characters."""

    text: str = Field(min_length=1, max_length=MAX_TEXT)
    methodName: str  # noqa: N815 - the receiver's names
    modelName: str  # noqa: N815


class UploadActivation(_Strict):
    """One window with one activation per token."""

    tokens: list[str] = Field(min_length=1, max_length=MAX_TOKENS)
    values: list[float] = Field(min_length=1, max_length=MAX_TOKENS)
    quantileMin: float  # noqa: N815
    quantileMax: float  # noqa: N815
    quantileFraction: float = Field(ge=0, le=1)  # noqa: N815

    @model_validator(mode="after")
    def same_length(self) -> "UploadActivation":
        """Check that there is one value per token."""
        if len(self.tokens) != len(self.values):
            raise ValueError(f"{len(self.tokens)} tokens but {len(self.values)} values")
        return self


class UploadFeature(_Strict):
    """One latent."""

    index: int = Field(ge=0, le=MAX_INDEX)
    density: float = Field(ge=0, le=1)
    topLogits: list[Logit] = Field(max_length=MAX_LOGITS)  # noqa: N815
    bottomLogits: list[Logit] = Field(max_length=MAX_LOGITS)  # noqa: N815
    explanations: list[UploadExplanation]
    activations: list[UploadActivation] = Field(min_length=1)


class UploadBatch(_Strict):
    """The body of one upload."""

    modelId: str = Field(min_length=1)  # noqa: N815
    source: str
    features: list[UploadFeature] = Field(min_length=1, max_length=MAX_FEATURES)

    @field_validator("source")
    @classmethod
    def named(cls, value: str) -> str:
        """Check `<layer>-<set>`: lower-case letters, digits and single hyphens."""
        layer, _, name = value.partition("-")
        if not layer.isdigit() or not SET_NAME.fullmatch(name):
            raise ValueError(
                f"source {value!r} must be <layer>-<set>, set of lower-case letters, digits, single hyphens"
            )
        return value


def source_name(dictionary: str, layer: int) -> str:
    """Turn a dictionary's name into a source: `5-skip-transcoder-k16`.

    >>> source_name("Skip_Transcoder (k=16)", 5)
    '5-skip-transcoder-k-16'
    """
    name = re.sub(r"[^a-z0-9]+", "-", dictionary.lower()).strip("-") or "set"
    return f"{max(layer, 0)}-{name}"


def write(run: ReportRun, out: Path, config: Config) -> Export:
    """Write `<dictionary>.jsonl` and `<dictionary>.scores.jsonl` for each dictionary; every line is validated.

    Raises:
        StudyError: the subject's id is not known and not given, or two dictionaries get the same source name.
    """
    subject = run.manifest.get("subject", {})
    model = (config.model_id or str(subject.get("name") or subject.get("model") or "")).rpartition("/")[2].lower()
    if not model:
        raise StudyError("export neuronpedia: the run names no subject; give it with --set model_id=...")
    explainer = config.explainer_model or _model(run, "explainer")
    sources = {
        row["dictionary"]: source_name(row["dictionary"], row["layer"]) for row in run.dictionaries.to_dict("records")
    }
    if len(set(sources.values())) < len(sources):
        raise StudyError(
            f"export neuronpedia: dictionaries get the same source name: {sources}; rename one in the study"
        )
    files, counts, left = (
        [],
        {"latents": 0, "batches": 0},
        {"without an activating example": 0, "explanations shortened": 0},
    )
    rows, examples = sampled_rows(run), run.examples[run.examples["kind"] == "positive"]
    for dictionary, source in sources.items():
        features = []
        for row in rows[rows["dictionary"] == dictionary].to_dict("records"):
            windows = examples[(examples["dictionary"] == dictionary) & (examples["latent"] == row["latent"])]
            if windows.empty:
                left["without an activating example"] += 1
                continue
            features.append(
                _feature(
                    row,
                    windows,
                    _logits(run, dictionary, row["latent"]),
                    config.method or method_of(run),
                    explainer,
                    left,
                )
            )
        batches = [
            UploadBatch(modelId=model, source=source, features=features[at : at + MAX_FEATURES])
            for at in range(0, len(features), MAX_FEATURES)
        ]
        counts = {"latents": counts["latents"] + len(features), "batches": counts["batches"] + len(batches)}
        files.append(_lines(out / f"{source}.jsonl", [batch.model_dump_json() for batch in batches]))
        files.append(_lines(out / f"{source}.scores.jsonl", _scores(run, str(dictionary))))
    left_out = {reason: n for reason, n in left.items() if n}
    notes = findings.warnings(findings.findings_of(run))
    return Export(files=files, counts=counts, left_out=left_out, notes=notes)


# Ends of lines to some readers, though not in JSON: written escaped, so that one record is one line to everyone.
LINE_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\u0085\u2028\u2029"}


def _lines(path: Path, lines: list[str]) -> str:
    lines = [line.translate(LINE_ENDS) for line in lines]
    write_atomically(path, lambda partial: partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8"))
    return str(path)


def _logits(run: ReportRun, dictionary: object, latent: int) -> dict[str, list[Logit]]:
    mine = run.logits[(run.logits["dictionary"] == dictionary) & (run.logits["latent"] == latent)].sort_values("rank")
    return {
        side: [Logit(token=row["token"], value=float(row["value"])) for row in part.head(MAX_LOGITS).to_dict("records")]
        for side, part in ((side, mine[mine["side"] == side]) for side in ("top", "bottom"))
    }


def top(activations: Any) -> float:
    """Largest activation of a window."""
    return float(np.asarray(activations, np.float64).max(initial=0.0))


def _feature(
    row: dict, windows: pd.DataFrame, logits: dict[str, list[Logit]], method: str, explainer: str, left: dict[str, int]
) -> UploadFeature:
    text = row["explanation"] if isinstance(row["explanation"], str) and row["explanation"].strip() else None
    if text is not None and len(text) > MAX_TEXT:
        left["explanations shortened"] += 1
        text = text[: MAX_TEXT - 1] + "…"
    explained = [] if text is None else [UploadExplanation(text=text, methodName=method, modelName=explainer)]
    peaks = windows["activations"].map(top)
    activations = []
    for window, peak in zip(windows.to_dict("records"), peaks, strict=True):
        inside = peaks[windows["stratum"] == window["stratum"]]
        activations.append(
            (
                peak,
                UploadActivation(
                    tokens=[str(piece) for piece in window["pieces"]][:MAX_TOKENS],
                    values=[float(value) for value in window["activations"]][:MAX_TOKENS],
                    quantileMin=float(inside.min()),
                    quantileMax=float(inside.max()),
                    quantileFraction=float(window["stratum_share"]),
                ),
            )
        )
    activations.sort(key=lambda pair: -pair[0])
    return UploadFeature(
        index=int(row["latent"]),
        density=float(row["firing_rate_token"]),
        topLogits=logits["top"],
        bottomLogits=logits["bottom"],
        explanations=explained,
        activations=[one for _, one in activations],
    )


def _scores(run: ReportRun, dictionary: str) -> list[str]:
    """One line per latent and scorer: the score, and each judged context in `jsonDetails`' shape."""
    judged = run.judgements[(run.judgements["dictionary"] == dictionary) & (run.judgements["control"] == "none")]
    pieces = {
        (latent, window): (list(texts), list(values))
        for latent, window, texts, values in run.examples.loc[
            run.examples["dictionary"] == dictionary, ["latent", "window_id", "pieces", "activations"]
        ].itertuples(index=False)
    }
    value = run.own_scores.set_index([*tables.KEY, "scorer"])["score"]
    lines, judge = [], _model(run, "judge")
    for (site, latent, scorer, identity), part in judged.groupby(
        ["site", "latent", "scorer", "explanation_id"], sort=False
    ):
        details = [_detail(item, pieces.get((latent, item["window_id"]), ([], []))) for item in part.to_dict("records")]
        score = {"index": latent, "value": value.get((dictionary, site, latent, scorer)), "explanationId": identity}
        score |= {"explanationScoreTypeName": scorer, "explanationScoreModelName": judge, "jsonDetails": details}
        lines.append(json.dumps(plain(score), ensure_ascii=False, allow_nan=False))
    return lines


def _model(run: ReportRun, role: str) -> str:
    """Name the explainer or judge of the run; `pattern` says that it is a baseline."""
    found = run.manifest.get("llms", {}).get(role, {})
    name = findings.model_name(found)
    return f"{name} (literal-pattern baseline, not a language model)" if found.get("use") == "pattern" else name


def method_of(run: ReportRun) -> str:
    """Name the explanation method of the run: the prompt of autointerp, or its literal-pattern baseline."""
    used = str(run.manifest.get("protocol", {}).get("explainer", {}).get("use") or "")
    used = used or (str(run.explanations["explainer"].iloc[0]) if len(run.explanations) else "unknown")
    return f"autointerp_{re.sub(r'[^a-z0-9]+', '_', used.lower())}"


def _detail(item: dict, window: tuple[list[str], list[float]]) -> dict[str, Any]:
    answered = item["answer"] != "unanswered"
    prediction = item["answer"] == "yes" if answered else None
    return {
        "text": "".join(window[0]),
        "distance": int(item["stratum"]) + 1 if item["truth"] else -1,
        "ground_truth": item["truth"],
        "prediction": prediction,
        "highlighted": item["scorer"] == "fuzzing",
        "correct": prediction == item["truth"] if answered else None,
        "probability": item["probability"],
        "activations": window[1],
        "str_tokens": window[0],
    }
