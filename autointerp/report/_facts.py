"""Texts and tables of the page: headline, tables, controls, protocol, provenance, cost."""

from collections.abc import Hashable, Mapping
from typing import Any

from autointerp.report import findings, qualification, tables, writers
from autointerp.report.run import ReportRun
from autointerp.report.words import GLOSSARY
from autointerp.statistics import validity


def facts(run: ReportRun) -> dict[str, Any]:
    """Collect the template's variables; every one is text, numbers or escaped tables."""
    found = findings.findings_of(run)
    shown = {table.name: {"title": table.title, "html": writers.html(table)} for table in tables.all_tables(found)}
    return {
        "name": run.name,
        "subtitle": _subtitle(run),
        "headline": findings.headline(found),
        "baseline": findings.baseline(found.manifests),
        "validity": _validity(found.control_status),
        "tables": shown,
        "qualification": _qualification(run),
        "not_compared": findings.not_compared(found),
        "glossary": sorted(GLOSSARY.items(), key=_alphabet),
        "facts": _facts(run),
        "usage": _usage(run.manifest.get("usage", {})),
    }


def _qualification(run: ReportRun) -> dict[str, Any] | None:
    """Show how explainer and judge did on planted rules; None where that was not asked."""
    if run.qualification is None:
        return None
    found = qualification.qualified(run.qualification)
    return {"sentences": found.sentences, "title": found.table.title, "html": writers.html(found.table)}


def _alphabet(entry: tuple[str, str]) -> str:
    return entry[0].lower()


def _validity(found: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the run's validity, and which scorers are invalid."""
    partly = validity.partly(found)
    return {
        "verdict": found.get("verdict", ""),
        "reasons": found.get("reasons", []),
        "warning": validity.warning(found),
        "partly": partly,
        "words": validity.in_words(found),
        "invalid": validity.invalid_scorers(found),
    }


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
    """Name a model or corpus of the manifest by what identifies it."""
    if not isinstance(value, Mapping):
        return str(value)
    for key in ("model", "name", "path", "use"):
        if value.get(key):
            return str(value[key])
    return ", ".join(f"{key} {inner}" for key, inner in value.items())


def _flat(value: object, name: str = "") -> list[tuple[str, str]]:
    """Write nested settings as `a.b: value` lines."""
    if isinstance(value, Mapping):
        return [line for key, inner in value.items() for line in _flat(inner, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list | tuple):
        if any(isinstance(inner, Mapping) for inner in value):
            return [line for at, inner in enumerate(value, 1) for line in _flat(inner, f"{name} {at}")]
        value = ", ".join(map(str, value))
    return [(name, "–" if value in ("", None) else str(value))]


def _facts(run: ReportRun) -> list[tuple[str, list[tuple[str, str]]]]:
    manifest = run.manifest
    identity = [
        (key.replace("_", " "), str(manifest[key]))
        for key in ("created", "protocol_hash", "context_pool_hash", "study_fingerprint")
        if manifest.get(key)
    ]
    listed = [
        ("Protocol", _flat(manifest.get("protocol", {}))),
        ("Run", identity + _flat(manifest.get("git", {}), "git") + _flat(manifest.get("hardware", {}))),
        ("Subject", _flat(manifest.get("subject", {}))),
        ("Corpus", _flat(manifest.get("corpus", {}))),
        ("Language models", _flat(manifest.get("llms", {}))),
        ("Dictionaries", [_dictionary(row) for row in run.dictionaries.fillna("").to_dict("records")]),
        ("Prompt templates (sha256)", [(name, value[:16]) for name, value in _flat(manifest.get("prompts", {}))]),
        (
            "Wall time (s)",
            [(stage, f"{float(marker.get('seconds', 0)):.1f}") for stage, marker in manifest.get("stages", {}).items()],
        ),
        ("Packages", _flat(manifest.get("packages", {}))),
    ]
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
