"""Neutral tables: the user's names, one number format, warnings that stay with the numbers."""

import io

import pandas as pd
import pytest
from rich.console import Console

from autointerp.report import escaping, tables, writers
from autointerp.report.findings import Findings, baseline, headline, not_compared, warnings
from autointerp.report.tables import Number, PValue

PATTERN = {"llms": {"explainer": {"use": "openai", "model": "m"}, "judge": {"use": "pattern"}}}


def found(**more: object) -> Findings:
    """Two SAEs and a transcoder, of which only two are compared."""
    dictionaries = pd.DataFrame({"dictionary": ["old", "new", "tcA"], "architecture": ["sae", "sae", "transcoder"]})
    row = {"contrast": "transcoder - sae", "a": "new", "b": "tcA", "scorer": "detection", "population": "eligible",
           "over": "dictionaries", "layer": 2, "k": 16, "scope": "these_dictionaries", "site": "s", "diff": 0.0816,
           "ci95_lo": 0.02, "ci95_hi": 0.14, "p_diff_adj": 0.0004, "p_tost_adj": 0.97, "verdict": "better"}  # fmt: skip
    means = [
        {"dictionary": name, "architecture": "sae", "scorer": "detection", "population": "eligible",
         "statistic": "score", "value": 0.7, "low": 0.6, "high": 0.8, "level": 0.95, "n_latents": 20}
        for name in ("old", "new", "tcA")
    ]  # fmt: skip
    summary = {
        "headlines": [row],
        "skipped": [],
        "controls": {"verdict": "valid", "scorers": {"detection": "valid"}},
        "coverage": [{"dictionary": name, "architecture": "", "eligible": 50, "scored": 20} for name in ("old", "new")],
    }
    fields = {
        "dictionaries": dictionaries,
        "estimates": pd.DataFrame(means),
        "comparisons": pd.DataFrame([row]),
        "controls": pd.DataFrame(),
        "reconstruction": pd.DataFrame(),
        "summary": summary,
        "manifests": (PATTERN,),
        **more,
    }
    return Findings(**fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Number(value=0.6434), "0.643"),
        (Number(value=0.5, low=0.25, high=0.75), "0.500 [0.250, 0.750]"),
        (Number(value=-0.0001, low=-0.5, high=0.5, signed=True), "0.000 [-0.500, +0.500]"),
        (Number(value=0.0816, signed=True), "+0.082"),
        (Number(value=float("nan")), "-"),
        (Number(value=16.04, digits=1), "16.0"),
        (PValue(0.0004), "<0.001"),
        (PValue(1.0), "1.000"),
        (PValue(float("nan")), "-"),
        (Number(value=0.5, low=float("nan"), high=0.7), "0.500"),
    ],
)
def test_numbers_have_one_format(number: object, text: str) -> None:
    assert str(number) == text


def test_comparisons_are_named_by_the_users_names_with_the_architecture_beside() -> None:
    rows = tables.comparisons(found(), tests=True).rows
    assert [str(cell) for cell in rows[0]] == [
        "tcA (transcoder) - new (sae)",
        "detection",
        "eligible",
        "+0.082 [+0.020, +0.140]",
        "<0.001",
        "0.970",
        "better",
    ]


def test_comparisons_show_every_measure_of_the_families_with_its_verdict() -> None:
    """Both populations of the primary family, and F1 and precision of the secondary one; a README shows the first."""
    row = found().comparisons.iloc[0]
    all_latents = {**row.to_dict(), "population": "iti", "diff": 0.01, "verdict": "inconclusive"}
    both = pd.DataFrame([row.to_dict(), all_latents])
    pair = {name: row[name] for name in ("a", "b", "scorer", "ci95_lo", "ci95_hi", "p_diff_adj", "p_tost_adj")}
    broad = [{**pair, "measure": name, "diff": 0.2, "verdict": "worse"} for name in ("precision", "f1")]
    shown = tables.comparisons(found(comparisons=both, prevalence_comparisons=pd.DataFrame(broad)))
    assert [(str(one[2]), getattr(one[3], "main", None), str(one[-1])) for one in shown.rows] == [
        ("eligible", "+0.082", "better"), ("all latents", "+0.010", "inconclusive"),
        ("precision", "+0.200", "worse"), ("F1", "+0.200", "worse"),
    ]  # fmt: skip
    short = tables.comparisons(found(comparisons=both), ("eligible",), secondary=False)
    assert [len(one) for one in short.rows] == [len(short.columns)] == [4]


def test_a_dictionary_in_no_comparison_is_said() -> None:
    lines = not_compared(found())
    assert len(lines) == 1
    assert lines[0].startswith("old (sae) is in no comparison")
    reason = {"what": "old, tcA", "reason": "the first arm has no scored latent"}
    known = found(summary={**found().summary, "skipped": [reason]})
    assert not_compared(known) == ["old (sae) is in no comparison: the first arm has no scored latent"]


def test_one_dictionary_is_no_complaint_about_comparisons() -> None:
    one = found(dictionaries=found().dictionaries.head(1), comparisons=pd.DataFrame())
    assert not_compared(one) == ["no comparison: this run has one dictionary"]


def test_the_headline_says_judge_latents_and_what_differs() -> None:
    text = headline(found())
    for words in ("`pattern`", "40 of 100", "3 dictionaries", "tcA (transcoder) better than new (sae)", "+0.082"):
        assert words in text


@pytest.mark.parametrize("write", [writers.latex, writers.csv])
def test_warnings_stand_with_the_numbers(write: object) -> None:
    text = write(tables.scores(found()))  # pyright: ignore[reportCallIssue]
    assert "literal-pattern matcher" in text


def test_a_judge_that_is_a_language_model_has_no_baseline_warning() -> None:
    assert baseline([{"llms": {"explainer": {"use": "openai"}, "judge": {"use": "openai"}}}]) == ""
    assert len(warnings(found())) == 1
    invalid = {"verdict": "INVALID", "scorers": {"detection": "INVALID"}}
    assert len(warnings(found(summary={**found().summary, "controls": invalid}))) == 2


def test_names_of_a_foreign_run_are_inert_in_every_writer() -> None:
    name = "=cmd|'/x'!A1\x1b[31m<b>|`\\input{x}"
    hostile = found(estimates=found().estimates.assign(dictionary="old").head(1))
    hostile = found(
        dictionaries=hostile.dictionaries.replace({"old": name}), estimates=hostile.estimates.assign(dictionary=name)
    )
    table = tables.scores(hostile)
    file = io.StringIO()
    Console(file=file, width=200, force_terminal=False).print(writers.terminal(table))
    assert "\x1b" not in file.getvalue() + writers.markdown(table) + writers.latex(table) + str(writers.html(table))
    assert "<b>" not in str(writers.html(table))
    assert r"\input" not in writers.latex(table)
    assert writers.markdown(table).splitlines()[2].count(" | ") == 4
    cells = pd.read_csv(io.StringIO(writers.csv(table)), comment="#")
    assert cells["dictionary"].iloc[0].startswith("'=")


def test_visible_shows_every_control_character() -> None:
    shown = escaping.visible("".join(map(chr, range(0xA0))) + "\u202e\u2066\ufeff\ud800")
    assert not [char for char in shown if ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or char in "\u202e\u2066\ufeff"]
    assert shown.encode("utf-8")
