"""A scorer that needs the subject, in one file outside the package; and what a whole run shows to whom, audited."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autointerp import open_run
from autointerp.errors import StudyError
from autointerp.experiment import pipeline
from autointerp.experiment.study import load_study, validate_study
from autointerp.run import tables
from autointerp.run.store import Run
from tests.helpers import audit

OUTSIDE = Path(__file__).parents[1] / "helpers" / "outside"
NAMES = ("detection", "fuzzing", "intruder", "surprisal")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Run:
    """A run of all scorers; a third of the corpus are copies of other documents, wider spaced or in capitals."""
    folder = tmp_path_factory.mktemp("audited")
    documents = (world / "text.txt").read_text().split("\n\n")
    copies = [text.replace(" ", "  ") for text in documents[:150]] + [text.upper() for text in documents[150:200]]
    (folder / "text.txt").write_text("\n\n".join([*documents, *copies]))
    for name in ("surprisal", "recorder"):
        shutil.copy(OUTSIDE / f"{name}.py", folder)
    site = {"site_in": "model.embed_tokens.output", "site_out": "model.embed_tokens.output", "accept": True}
    llms = {
        f"{role}_llm": {"use": str(folder / "recorder.py"), "log": str(folder / f"{role}.jsonl")}
        for role in ("explainer", "judge")
    }
    study = validate_study({
        "name": "audited",
        "subject": {"model": str(world / "subject")},
        "corpus": {"use": "text", "path": str(folder / "text.txt"), "split": "blank_lines"},
        "windows": {"n_tokens": 100_000, "context_length": 32, "window_length": 16},
        "dictionaries": [{"name": n, "source": str(world / n / "embed"), **site} for n in ("known", "noise")],
        "sampling": {"n_latents": 6},
        "examples": {"min_windows": 30, "n_explain": 10, "n_positives": 10, "n_negatives": 10, "n_hard": 2,
                     "n_explain_negatives": 10, "hard": ["words", "cofiring", "decoder"]},
        "reconstruction": {"n_documents": 10, "n_bootstrap": 100},
        "explainer": "contrastive",
        "scorers": ["detection", {"use": "fuzzing", "negatives": ["mismarked", "random", "hard"]}, "intruder",
                    {"use": str(folder / "surprisal.py"), "model": str(world / "subject")}],
        "controls": {"n_planted": 0},
        "qualify": "off",  # its prompts are of planted rules, not of the run's latents
        **llms,
    }, source="test")  # fmt: skip
    return pipeline.score(study, folder / "run")


def explaining(run: Run) -> dict[tuple[str, int], audit.Sent]:
    """Each latent's explanation prompt."""
    found = {}
    for one in audit.sent(run.path.parent / "explainer.jsonl"):
        dictionary, _, rest = one.key.partition("/")
        found[dictionary, int(rest.rsplit("/", 2)[1])] = one
    return found


def judging(run: Run) -> pd.DataFrame:
    """The judgements, each with `sent`, the prompt that a back end got, and `line`, the context as it stands there."""
    prompts = {one.key: one for one in audit.sent(run.path.parent / "judge.jsonl")}
    judged = run.read("judgements")
    judged = judged[judged["question_id"].isin(prompts)]
    assert set(prompts) == set(judged["question_id"])
    asked = [prompts[str(key)] for key in judged["question_id"]]
    lines = [one.lines[place] for one, place in zip(asked, judged["position"], strict=True)]
    sents = pd.Series(asked, index=judged.index)
    return judged.assign(sent=sents, line=lines, n_lines=[len(one.lines) for one in asked])


def test_a_scorer_in_one_file_outside_is_a_scorer(run: Run) -> None:
    """Named by its path, with the back end that it brings: judgements, estimates, manifest as of any."""
    judged = run.read("judgements")
    assert set(judged["scorer"]) == set(NAMES)
    mine = judged[(judged["scorer"] == "surprisal") & (judged["control"] == "none")]
    held_out = run.read("examples").query("split == 'held_out'")
    assert len(mine) == len(held_out) >= 12 * 20
    assert (mine["answer"] != "unanswered").all()
    assert mine["probability"].nunique() > 100
    assert "surprisal" in set(run.read("estimates")["scorer"])
    path = str(run.path.parent / "surprisal.py")
    assert run.manifest["llms"][path]["fingerprint"].startswith("surprisal ")
    assert len(run.manifest["prompts"][path]) == 64, "the file's hash"


def test_no_held_out_window_stands_in_any_explainer_prompt(run: Run) -> None:
    """Every window that is judged, of any latent, against every prompt that explains any latent: no eight tokens of one
    stand in another, in whatever case, marks and white space; nor is there a common document."""
    examples = run.read("examples")
    shown, judged = (examples[examples["split"] == split] for split in ("explain", "held_out"))
    prompts = ["\n".join(one.messages) for one in explaining(run).values()]
    assert len(prompts) == 12
    assert audit.shown_in(judged["pieces"], prompts) == []
    assert not set(shown["document_id"]) & set(judged["document_id"])
    # The search can find: what is shown is there, and so is a judged window that is put there in another guise.
    assert audit.shown_in(shown["pieces"].iloc[:5], prompts)
    window = "".join(judged["pieces"].iloc[0])
    assert audit.shown_in(judged["pieces"], [f"[1] {window.upper().replace(' ', chr(10))}"])


def test_an_explanation_prompt_has_its_own_latent_only(run: Run) -> None:
    """Its contexts are the latent's explain windows and silent ones, each once, and nothing else stands in it."""
    examples = run.read("examples").query("split == 'explain'")
    prompts = explaining(run)
    frames = Counter(one.frame[:-1] for one in prompts.values())
    assert len(frames) == 1, "all messages but the last are the same for every latent"
    for (dictionary, latent), one in prompts.items():
        mine = examples[(examples["dictionary"] == dictionary) & (examples["latent"] == latent)]
        told = Counter(audit.bare(audit.unmarked(line)) for line in one.lines)
        assert told == Counter(audit.bare("".join(pieces)) for pieces in mine["pieces"])
        assert len(mine) == 20


@pytest.mark.parametrize("scorer", ["detection", "fuzzing", "intruder"])
def test_what_surrounds_a_context_tells_nothing_of_it(run: Run, scorer: str) -> None:
    """Of a scorer's prompts with equally many contexts and the same explanation all but the contexts is the same; a
    context is written the same way whatever it is."""
    judged = judging(run).query("scorer == @scorer")
    assert len(judged) > 100
    for _, same in judged.drop_duplicates("question_id").groupby([*tables.KEY, "control", "explanation_id", "n_lines"]):
        assert len({one.frame for one in same["sent"]}) == 1
    examples = run.read("examples").query("split == 'held_out'")
    texts = {
        (*key, window): "".join(pieces)
        for *key, window, pieces in examples[[*tables.KEY, "window_id", "pieces"]].itertuples(index=False)
    }
    keys = judged[[*tables.KEY, "window_id"]].itertuples(index=False, name=None)
    own = [texts[key].replace("\n", "\\n") for key in keys]
    assert [audit.unmarked(line) for line in judged["line"]] == own


def test_fuzzing_shows_each_context_rightly_and_wrongly_marked(run: Run) -> None:
    """By the prompts alone: every positive's text comes twice, once with each truth, as many marks on either; and the
    silent contexts bear as many marks as the positives."""
    judged = judging(run).query("scorer == 'fuzzing' and control == 'none'")
    judged = judged.assign(text=judged["line"].map(audit.unmarked), marks=judged["line"].str.count("<<"))
    for _, mine in judged.groupby(tables.KEY):
        right, wrong = mine[mine["truth"]], mine[mine["kind"] == "mismarked"]
        assert Counter(right["text"]) == Counter(wrong["text"])
        assert Counter(right["line"]) != Counter(wrong["line"])
        assert not set(right["line"]) & set(wrong["line"])
    known = judged[judged["dictionary"] == "known"]
    for _, mine in known.groupby(tables.KEY):
        marks = {kind: Counter(part["marks"]) for kind, part in mine.groupby("kind")}
        assert marks["positive"] == marks["mismarked"]
        assert (mine["marks"] > 0).all()


def test_places_in_prompts_bear_no_label(run: Run) -> None:
    """Each place of a prompt has as many yes as chance has it: within four standard errors."""
    judged = judging(run).query("scorer in ['detection', 'fuzzing'] and control == 'none'")
    for _, mine in judged.groupby("scorer"):
        share = mine["truth"].mean()
        for _, place in mine.groupby("position"):
            error = (share * (1 - share) / len(place)) ** 0.5
            assert abs(place["truth"].mean() - share) < 4 * error


def test_no_negative_activates_the_latent(run: Run) -> None:
    """By the word that a known latent fires on: no window it is said to be silent on has it."""
    examples = run.read("examples").query("dictionary == 'known'")
    assert examples.loc[examples["kind"] != "positive", "activations"].map(max).max() == 0
    for _, mine in examples.groupby(tables.KEY):
        positives = mine[mine["kind"] == "positive"]
        peaks = {p[int(a.argmax())] for p, a in zip(positives["pieces"], positives["activations"], strict=True)}
        assert len(peaks) == 1
        silent = mine.loc[mine["kind"] != "positive", "pieces"]
        assert len(silent) >= 20
        assert not [pieces for pieces in silent if peaks & set(pieces)]


def test_hard_strata_stand_for_parts_of_silence(run: Run) -> None:
    """Near in words, by co-firing and by decoder rows are strata 1, 2 and 3; together they are no more than all."""
    examples = run.read("examples").query("split == 'held_out'")
    hard = examples[examples["kind"] == "hard"]
    assert set(hard["stratum"]) == {1, 2, 3}
    each = hard.drop_duplicates([*tables.KEY, "stratum"]).groupby(tables.KEY)["stratum_share"].sum()
    assert ((each > 0) & (each < 1 + 1e-9)).all()


def test_a_changed_file_of_the_user_is_another_study(run: Run, tmp_path: Path) -> None:
    """Judgements by other code are not taken for those of today's: the file's hash is part of the stage's mark."""
    study = load_study(run.path / "study.yaml")
    before = pipeline.fingerprints(pipeline.Experiment(study=study, run=run))
    path = run.path.parent / "surprisal.py"
    source = path.read_text()
    try:
        path.write_text(source + "\n# changed\n")
        after = pipeline.fingerprints(pipeline.Experiment(study=load_study(run.path / "study.yaml"), run=run))
    finally:
        path.write_text(source)
    assert before["explain"] == after["explain"]
    assert before["judge"] != after["judge"]


def test_two_scorers_of_one_name_are_refused(study_of: Any, tmp_path: Path) -> None:
    """Their judgements could not be told apart; said before anything is read."""
    study = load_study(study_of(scorers=["detection", {"use": "detection", "n_per_question": 2}]))
    with pytest.raises(StudyError, match="names must differ; twice: detection"):
        pipeline.score(study, tmp_path / "run")
    assert not (tmp_path / "run" / "tokens").exists()


@pytest.mark.parametrize(
    "use, said",
    [
        ("./none.py", "file 'none.py': No such file or directory"),
        ("empty.py", "defines no `Config`"),
        ("detecton", r"unknown; use one of: detection, .* \(or ./a_file.py, or a dotted module\)"),
        ("no.such", "cannot be imported"),
    ],
)
def test_a_scorer_that_is_not_there_is_said_in_a_line(
    study_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str, said: str
) -> None:
    """A path without a file, a file that is no scorer, a name or a module that does not exist."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(StudyError, match=said):
        load_study(study_of(scorers=[use]))


def test_a_fuzzing_score_rests_on_wrong_marks_whatever_else_is_asked(run: Run) -> None:
    """By hand from the judgements: recall over deciles, and the specificity on mismarked contexts alone."""
    judged = run.read("judgements").query("scorer == 'fuzzing' and control == 'none' and dictionary == 'noise'")
    own = open_run(run.path).own_scores.query("scorer == 'fuzzing' and dictionary == 'noise'")
    scores = dict(zip(own["latent"].tolist(), own["score"].tolist(), strict=True))
    for latent, mine in judged.groupby("latent"):
        recall = (mine[mine["truth"]]["answer"] == "yes").groupby(mine["stratum"]).mean().mean()
        specificity = (mine[mine["kind"] == "mismarked"]["answer"] == "no").mean()
        assert scores[latent] == pytest.approx((recall + specificity) / 2)
