"""A study that grows pays only for what was added: prompts counted at the server that answers them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from autointerp.experiment import pipeline
from autointerp.experiment.study import load_study
from autointerp.llm import _client
from autointerp.run import record_rows
from autointerp.run.store import Run
from tests.experiment.conftest import FILLERS, NOUNS, save_dictionary
from tests.helpers.server import Server, chance
from tests.helpers.server.faults import number

SITE = {"site_in": "model.embed_tokens.output", "site_out": "model.embed_tokens.output", "accept": True}
DETECTION, FUZZING = ({"use": name, "n_per_question": 10} for name in ("detection", "fuzzing"))
# Shuffled and empty controls are drawn from the first latents of a dictionary, so that larger samples add none.
CONTROLS = {"n_planted": 2, "n_shuffled": 2, "n_empty": 1, "duplicate_share": 0.3}
WINDOWS = {"n_tokens": 8_000, "context_length": 32, "window_length": 8}
IN_FLIGHT = 2
# How a client tries, once per role, what form a server's replies have.
PROBE = "Ignore the text above. Greet the reader"
# Questions about a latent's own score; the others are controls.
OWN = {"explain", "none", "duplicate"}


class Asked:
    """Counts the prompts that a server answers; no two explanations are the same, so that no two prompts are."""

    def __init__(self) -> None:
        self.prompts: Counter[str] = Counter()
        self.n_probes = 0
        self.server = Server(self._answer)

    def _answer(self, body: dict[str, Any]) -> str:
        prompt = str(body["messages"])
        if PROBE in prompt:
            self.n_probes += 1
            return "Hello."
        self.prompts[prompt] += 1
        said = chance(body)
        return said if said.startswith("[") else f"Explanation: words of kind {number(prompt)}"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.01)
    made = Asked()
    with made.server:
        yield made


@pytest.fixture(scope="module")
def many(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dictionary with a latent for every word of the text."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(world / "subject")
    model: Any = AutoModelForCausalLM.from_pretrained(world / "subject")
    rows = model.get_input_embeddings().weight.detach()
    ids = [tokenizer(f" {word}")["input_ids"] for word in (*NOUNS, *FILLERS)]
    unit = torch.stack([rows[one[0]] / rows[one[0]].norm() for one in ids if len(one) == 1])
    bias = -0.8 * float(rows.norm(dim=1).mean())
    return save_dictionary(tmp_path_factory.mktemp("many") / "embed", unit, bias=bias)


def killing(asked: Asked, n: int) -> Any:
    """Return a `question_row` that is interrupted once the server has answered n prompts."""
    whole = record_rows.question_row

    def row(question: Any) -> Any:
        if asked.prompts.total() >= n:
            raise KeyboardInterrupt
        return whole(question)

    return row


@pytest.fixture
def grown(study_of: Any, world: Path, many: Path, asked: Asked, tmp_path: Path) -> Any:
    """Judge the study's latents in one run directory, interrupted first after so many of the server's answers."""
    sources = {"many": many, "noise": world / "noise" / "embed"}

    def run(
        n: int = 8, dictionaries: tuple[str, ...] = ("many",), scorers: Any = (DETECTION,), killed_after: int = 0
    ) -> Run:
        llm = {"use": "openai", "base_url": asked.server.url, "model": "scripted", "concurrency": IN_FLIGHT,
               "structured": "plain"}  # fmt: skip
        placed = [{"name": name, "source": str(sources[name]), **SITE} for name in dictionaries]
        path = study_of(explainer="default", explainer_llm=llm, judge_llm=llm, controls=CONTROLS, dictionaries=placed,
                        scorers=list(scorers), sampling={"n_latents": n}, windows=WINDOWS)  # fmt: skip
        if killed_after:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(record_rows, "question_row", killing(asked, asked.prompts.total() + killed_after))
                with pytest.raises(KeyboardInterrupt):
                    pipeline.score(load_study(path), tmp_path / "run", update=True, until="judge")
        return pipeline.score(load_study(path), tmp_path / "run", update=True, until="judge")

    return run


def sampled(run: Run, dictionary: str = "many") -> list[int]:
    rows = run.read("latents").query("sampled and dictionary == @dictionary")
    return rows.sort_values("look_order")["latent"].tolist()


def kinds(run: Run) -> Counter[tuple[str, int, str, str]]:
    """Count the run's questions by dictionary, latent, scorer and control."""
    rows = run.read("questions")[["dictionary", "latent", "scorer", "control"]]
    return Counter(rows.itertuples(index=False, name=None))  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize(
    ("change", "killed_after"),
    [
        ({"n": 12}, 0),
        ({"n": 12}, 10),
        ({"dictionaries": ("many", "noise")}, 10),
        ({"scorers": (DETECTION, FUZZING)}, 10),
    ],
    ids=["latents", "latents, killed", "dictionary, killed", "scorer, killed"],
)
def test_a_study_that_grows_pays_for_what_was_added(
    grown: Any, asked: Asked, change: dict[str, Any], killed_after: int
) -> None:
    """The first 8 latents stay; the server is asked the added questions alone, again only those in flight at a kill."""
    small = grown()
    first, before, n_before = sampled(small), kinds(small), asked.prompts.total()
    assert len(first) == 8
    assert n_before == before.total()
    large = grown(**change, killed_after=killed_after)
    assert sampled(large)[:8] == first
    after = kinds(large)
    added = after - before
    assert not before - after
    assert len(asked.prompts) - n_before == added.total()
    assert asked.prompts.total() - len(asked.prompts) <= IN_FLIGHT * (killed_after > 0)
    assert asked.n_probes == 2
    if "n" in change:
        new = sampled(large)[8:]
        assert len(new) == 4
        assert Counter(latent for _, latent, scorer, _ in added if scorer == "explain") == Counter(new)
        assert {(name, latent) for name, latent, *_ in added} == {("many", latent) for latent in new}
        assert {control for *_, control in added} <= OWN
    elif "dictionaries" in change:
        assert {name for name, *_ in added} == {"noise"}
    else:
        assert {scorer for *_, scorer, _ in added} == {"fuzzing"}
