"""One latent in full, with shaded tokens: for the terminal (80 columns, logs, NO_COLOR) and for notebooks."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from autointerp.report.escaping import visible, visible_lines
from autointerp.report.plain import plain

# Shades of blue on which black text can be read, weak to strong; under NO_COLOR the strongest token is underlined only.
SHADES = ("on #e3eefb", "on #bcd9f5", "on #8fc0ee", "on #5aa3e4")
BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentView:
    """One latent with all its data; rich in a terminal, HTML in a notebook."""

    name: str
    row: dict[str, Any]
    scores: pd.DataFrame
    explanations: pd.DataFrame
    examples: pd.DataFrame
    judgements: pd.DataFrame
    questions: pd.DataFrame
    logits: pd.DataFrame
    histogram: pd.DataFrame
    without_logits: str | None

    @property
    def explanation(self) -> str | None:
        """The text of its explanation, or None where it failed or was not asked for."""
        texts = self.explanations["text"].dropna()
        return str(texts.iloc[0]) if len(texts) else None

    def _repr_html_(self) -> str:
        return latent_html(self)


def shaded(pieces: Sequence[str], activations: Sequence[float], peak: float, *, marks: bool = False) -> Text:
    """Write a window with each token shaded by its activation relative to `peak`.

    With `marks`, runs of active tokens also stand between << and >>, for output without colours.
    """
    line, inside = Text(), False
    top = max(activations, default=0.0)
    for piece, value in zip(pieces, activations, strict=True):
        active = value > 0 and peak > 0
        if marks and active != inside:
            line.append("<<" if active else ">>")
        inside = active
        if not active:
            line.append(visible(piece))
            continue
        shade = SHADES[min(len(SHADES) - 1, int(value / peak * len(SHADES)))]
        line.append(visible(piece), style=f"black {shade}" + (" underline" if value == top else ""))
    return line.append(">>") if marks and inside else line


def top(activations: Any) -> float:
    """Largest activation of a window."""
    return float(np.asarray(activations, np.float64).max(initial=0.0))


def number(value: object, digits: int = 3) -> str:
    """Write a number, or a dash where there is none."""
    return (
        "–"
        if not isinstance(value, int | float | np.number) or math.isnan(float(value))
        else f"{float(value):.{digits}f}"
    )


def latent_page(view: LatentView, *, n_examples: int = 5, prompts: bool = False, marks: bool = False) -> RenderableType:
    """Show one latent: explanation, scores, strongest and judged windows, and if asked the raw prompts and replies."""
    row = view.row
    status = view.explanations["status"].iloc[0] if len(view.explanations) else row["status"]
    words = visible(view.explanation) if view.explanation is not None else f"no explanation ({status})"
    state = str(row["status"]).replace("_", " ")
    facts = f"fires on {row['firing_rate_token']:.3%} of tokens, {row['n_windows']:,} windows · {state}"
    if row["peak_token"]:
        facts += f" · peak token {visible(str(row['peak_token']))!r} ({number(row['token_share'], 2)} of peaks)"
    parts: list[RenderableType] = [Text(view.name, "bold"), Text(words, "italic"), Text(facts, "dim"), Text("")]
    if len(view.scores):
        parts += [_score_table(view.scores), Text("")]
    parts += _activations(view) + _promoted(view)
    positive = view.examples[view.examples["kind"] == "positive"]
    if len(positive):
        tops = positive["activations"].map(top)
        peak = float(tops.max())
        parts.append(Text("strongest examples", "bold"))
        for at in tops.sort_values(ascending=False, kind="stable").index[:n_examples]:
            example = positive.loc[at]
            parts.append(
                Text(
                    f"  {tops[at]:.3g}  decile {example['stratum'] + 1}, {str(example['split']).replace('_', ' ')}",
                    "dim",
                )
            )
            parts.append(_window(example, peak, marks))
    parts += _mistakes(view, n_examples, marks)
    return Group(*parts, *(_prompts(view) if prompts else []))


def _window(row: pd.Series, peak: float, marks: bool) -> Text:
    return shaded(list(row["pieces"]), [float(value) for value in row["activations"]], peak, marks=marks)


def _score_table(scores: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("scorer", "explanation"):
        table.add_column(name, no_wrap=True)
    for name in ("score", "recall", "specif.", "items", "unansw."):
        table.add_column(name, justify="right", no_wrap=True)
    for row in scores.sort_values("control", key=lambda names: names != "none", kind="stable").to_dict("records"):
        table.add_row(
            row["scorer"],
            "its own" if row["control"] == "none" else row["control"],
            number(row["score"]),
            number(row["recall"]),
            number(row["specificity"]),
            str(row["n_items"]),
            str(row["n_unanswered"]),
        )
    return table


def _activations(view: LatentView) -> list[RenderableType]:
    """All its activations as one line of bars, weak to strong; heights are logarithms of counts, none is a space."""
    bins = view.histogram.sort_values("low")
    if bins.empty:
        return []
    heights = np.log1p(bins["n_tokens"].to_numpy(np.float64))
    marks = [" " if h == 0 else BARS[int(h / heights.max() * (len(BARS) - 1))] for h in heights]
    words = f"{bins['n_tokens'].sum():,} activations, 0 to {bins['high'].iloc[-1]:.3g} (log counts)"
    return [Text(words, "bold"), Text("".join(marks)), Text("")]


def _promoted(view: LatentView) -> list[RenderableType]:
    """The tokens that its decoder row promotes and suppresses, strongest first; or why they are not known."""
    if view.logits.empty:
        return [Text(f"no logits: {visible(view.without_logits)}", "dim"), Text("")] if view.without_logits else []
    parts: list[RenderableType] = []
    for side, title in (("top", "promotes"), ("bottom", "suppresses")):
        rows = view.logits[view.logits["side"] == side].sort_values("rank")
        texts = [
            f"{visible(str(token))!r} {value:+.2f}" for token, value in zip(rows["token"], rows["value"], strict=True)
        ]
        parts += [Text.assemble((f"{title} ", "bold"), ", ".join(texts))]
    return [*parts, Text("")]


def _mistakes(view: LatentView, n: int, marks: bool) -> list[RenderableType]:
    """Windows that the judge got wrong."""
    judged = view.judgements
    wrong = judged[
        (judged["control"] == "none")
        & (judged["answer"] != "unanswered")
        & ((judged["answer"] == "yes") != judged["truth"])
    ]
    if wrong.empty:
        return []
    windows = view.examples.drop_duplicates("window_id").set_index("window_id")
    parts: list[RenderableType] = [
        Text(""),
        Text(f"wrong answers ({len(wrong)} of {int((judged['control'] == 'none').sum())})", "bold"),
    ]
    peak = max(map(top, view.examples["activations"]), default=0.0)
    for row in wrong.head(n).to_dict("records"):
        parts.append(
            Text(
                f"  {row['scorer']}: judge says {row['answer']}, truth {'no' if row['answer'] == 'yes' else 'yes'}"
                f" ({row['kind']})",
                "dim",
            )
        )
        if row["window_id"] in windows.index:
            window = windows.loc[row["window_id"]]
            parts.append(_window(window, peak, marks))
    return parts


def _prompts(view: LatentView) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for row in view.questions.to_dict("records"):
        parts += [
            Text(""),
            Text(f"{row['question_id']}", "bold"),
            Text(visible_lines(str(row["prompt"]))),
            Text("→ reply", "dim"),
            Text(visible_lines(str(row["reply"]))),
        ]
    return parts


def latent_html(view: LatentView) -> str:
    """One latent as HTML for notebooks: escaped by rich, without scripts."""
    console = Console(
        record=True, width=100, file=io.StringIO(), force_jupyter=False, color_system="truecolor", emoji=False
    )
    console.print(latent_page(view))
    return console.export_html(
        inline_styles=True, code_format='<pre style="white-space:pre-wrap;font-family:monospace">{code}</pre>'
    )


def latent_record(view: LatentView) -> dict[str, Any]:
    """One latent as JSON."""
    return plain(
        {
            "name": view.name,
            **view.row,
            "explanation": view.explanation,
            "explanations": view.explanations.to_dict("records"),
            "logits": view.logits.to_dict("records"),
            "without_logits": view.without_logits,
            "histogram": view.histogram.to_dict("records"),
            "scores": view.scores.to_dict("records"),
            "examples": view.examples.to_dict("records"),
            "judgements": view.judgements.to_dict("records"),
            "questions": view.questions.to_dict("records"),
        }
    )
