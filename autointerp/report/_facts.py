"""What the page says in words and tables: verdicts, estimates, coverage, controls, protocol, provenance, cost."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from autointerp.report.run import ReportRun
from autointerp.statistics import validity
from autointerp.statistics.random_arms import CONTROL_ARMS

RUNGS = ["total", "alive", "eligible", "sampled", "explained", "scored"]
METRICS = [
    ("ce_increase", "CE increase (nats)", 3), ("fvu", "FVU", 3), ("kl", "KL (nats)", 3), ("l0", "L0", 1),
    ("dead_share", "dead", 3), ("dense_share", "dense", 3),
]  # fmt: skip
CONTROLS = ["shuffled", "empty", "planted", "missing", "duplicate", "lexical"]
# Comparisons shown as cards before the page refers to the figure.
MAX_CARDS = 12


def facts(run: ReportRun) -> dict[str, Any]:
    """Collect the template's variables; every one is text or numbers, escaped by the template."""
    summary = run.summary
    cards, n_more = _cards(summary.get("headlines", []))
    return {
        "name": run.name, "subtitle": _subtitle(run),
        "validity": _validity(summary.get("controls", {})),
        "headlines": cards, "n_more_headlines": n_more, "no_headlines": _no_headlines(run),
        "estimates": _estimates(run), "reconstruction": _reconstruction(run), "metrics": _metrics(run),
        "rungs": RUNGS, "coverage": [row for row in summary.get("coverage", []) if row["architecture"] != "planted"],
        "controls": _controls(run.controls), "facts": _facts(run), "usage": _usage(run.manifest.get("usage", {})),
    }  # fmt: skip


def _validity(found: Mapping[str, Any]) -> dict[str, Any]:
    """Say whether the scores may be read, and of which scorers not."""
    partly = validity.partly(found)
    return {
        "verdict": found.get("verdict", ""), "reasons": found.get("reasons", []), "warning": validity.warning(found),
        "partly": partly, "words": validity.in_words(found), "invalid": validity.invalid_scorers(found),
    }  # fmt: skip


def _subtitle(run: ReportRun) -> str:
    manifest = run.manifest
    parts = [
        f"subject {_name(manifest.get('subject', {}))}" if manifest.get("subject") else "",
        f"corpus {_name(manifest.get('corpus', {}))}" if manifest.get("corpus") else "",
        f"judge {_name(manifest.get('llms', {}).get('judge', {}))}" if manifest.get("llms") else "",
        str(manifest.get("created", ""))[:10],
    ]
    return " · ".join(part for part in parts if part)


def _name(value: object) -> str:
    """Name a part of the manifest by what identifies it."""
    if not isinstance(value, Mapping):
        return str(value)
    for key in ("model", "name", "path", "use"):
        if value.get(key):
            return str(value[key])
    return ", ".join(f"{key} {inner}" for key, inner in value.items())


def _cards(headlines: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Make one card per headline; pooled comparisons come first, and many layers are left to the figure."""
    ordered = sorted(headlines, key=lambda row: row.get("over") == "dictionaries")
    cards = []
    for row in ordered[:MAX_CARDS]:
        second, _, first = str(row["contrast"]).partition(" - ")
        layer = int(row["layer"]) if row.get("layer") is not None else -1
        pooled = row.get("over") not in (None, "dictionaries")
        where = f"pooled over {row['over']}" if pooled else f"layer {layer}" if layer >= 0 else ""
        words = str(row["words"]).rpartition("]: ")[2]
        cards.append({
            "title": f"{second} against {first}", "where": f"{row['scorer']}{', ' + where if where else ''}",
            "diff": _signed(row["diff"]), "interval": f"[{_signed(row['ci95_lo'])}, {_signed(row['ci95_hi'])}]",
            "verdict": str(row["verdict"]), "words": "" if row["verdict"] == "invalid" else words,
        })  # fmt: skip
    return cards, len(ordered) - len(cards)


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def _no_headlines(run: ReportRun) -> str:
    if len(run.dictionaries) < 2:
        return "This run has one dictionary, so nothing is compared; its scores are below."
    return "No comparison could be made; summary.json lists the reasons under “skipped”."


def _estimates(run: ReportRun) -> list[dict[str, Any]]:
    table = run.estimates
    if table.empty:
        return []
    means = table[table["statistic"] == "score"]
    return [
        {
            "dictionary": name, "scorer": scorer, "architecture": part["architecture"].iloc[0],
            "n_latents": int(part["n_latents"].max()),
            "means": {row["population"]: row for row in part.to_dict("records")},
        }
        for (name, scorer), part in means.groupby(["dictionary", "scorer"], sort=False)
        if part["architecture"].iloc[0] != "planted"
    ]  # fmt: skip


def _metrics(run: ReportRun) -> list[dict[str, Any]]:
    there = set(run.reconstruction["metric"])
    return [{"name": name, "label": label, "digits": digits} for name, label, digits in METRICS if name in there]


def _reconstruction(run: ReportRun) -> list[dict[str, Any]]:
    architecture = dict(zip(run.dictionaries["dictionary"], run.dictionaries["architecture"], strict=True))
    return [
        {"dictionary": name, "architecture": architecture[str(name)],
         "cells": {row["metric"]: row for row in part.to_dict("records")}}
        for name, part in run.reconstruction.groupby("dictionary", sort=False) if name in architecture
    ]  # fmt: skip


def _controls(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows over all dictionaries, which decide, and control arms'. Chance is what a share or score must be near."""
    shown = (table["dictionary"] == "all") | table["control"].isin(CONTROL_ARMS)
    rows = table[shown].to_dict("records") if len(table) else []
    rows.sort(key=lambda row: CONTROLS.index(row["control"]) if row["control"] in CONTROLS else len(CONTROLS))
    for row in rows:
        row["expected_text"] = f"{row['expected']:g}" if row["status"] != "informative" else "–"
    return [{str(key): value for key, value in row.items()} for row in rows]


def _flat(value: object, name: str = "") -> list[tuple[str, str]]:
    """Write nested settings as `a.b: value` lines."""
    if isinstance(value, Mapping):
        return [line for key, inner in value.items() for line in _flat(inner, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return [(name, "–" if value in ("", None) else str(value))]


def _facts(run: ReportRun) -> list[tuple[str, list[tuple[str, str]]]]:
    manifest = run.manifest
    identity = [(key.replace("_", " "), str(manifest[key])) for key in (
        "created", "protocol_hash", "context_pool_hash", "study_fingerprint") if manifest.get(key)]  # fmt: skip
    listed = [
        ("Protocol", _flat(manifest.get("protocol", {}))),
        ("Run", identity + _flat(manifest.get("git", {}), "git") + _flat(manifest.get("hardware", {}))),
        ("Subject", _flat(manifest.get("subject", {}))),
        ("Corpus", _flat(manifest.get("corpus", {}))),
        ("Language models", _flat(manifest.get("llms", {}))),
        ("Dictionaries", [_dictionary(row) for row in run.dictionaries.fillna("").to_dict("records")]),
        ("Prompt templates (sha256)", [(name, value[:16]) for name, value in _flat(manifest.get("prompts", {}))]),
        ("Wall time (s)", [
            (stage, f"{float(marker.get('seconds', 0)):.1f}") for stage, marker in manifest.get("stages", {}).items()
        ]),
        ("Packages", _flat(manifest.get("packages", {}))),
    ]  # fmt: skip
    return [(title, rows) for title, rows in listed if rows]


def _dictionary(row: Mapping[Hashable, Any]) -> tuple[str, str]:
    revision = f" @ {row['revision']}" if row["revision"] else ""
    made = f"{row['architecture']}, {row['n_latents']} latents, k {row['k']}, reads {row['site']}"
    return str(
        row["dictionary"]
    ), f"{made}; {row['format']} from {row['source']}{revision}; sha256 {row['sha256'][:16]}"


def _usage(usage: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = ("calls", "cached_calls", "tokens_in", "tokens_cached", "tokens_out")
    rows = []
    for stage, counted in usage.items():
        failures = {reason: n for reason, n in counted.get("failures", {}).items() if n}
        words = ", ".join(f"{reason} {n:,}" for reason, n in failures.items())
        rows.append({"stage": stage, "failures": words, **{name: int(counted.get(name) or 0) for name in names}})
    return rows
