"""Another kind of server, really run: `transformers serve` takes a schema and log-probabilities and ignores both.

Needs a Python that has transformers[serving]: its path in AUTOINTERP_SERVING_PYTHON.

    AUTOINTERP_SERVING_PYTHON=... pytest -m slow tests/llm/test_transformers_serve.py
"""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing

import pytest

from autointerp.asking import ask
from autointerp.asking.budget import StageUsage
from autointerp.errors import EngineError, StudyError
from autointerp.llm import openai
from tests.helpers import asking, tiny_llm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
START_S = 600


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    python = os.environ.get("AUTOINTERP_SERVING_PYTHON", "")
    if not python:
        pytest.skip("no transformers[serving] here: name a Python that has it in AUTOINTERP_SERVING_PYTHON")
    model, log = tiny_llm.make(tmp_path_factory.mktemp("tiny")), tmp_path_factory.mktemp("log") / "server.log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"--host 127.0.0.1 --port {port} --device cpu".split()
    line = [python, "-m", "transformers.cli.transformers", "serve", str(model), *address]
    with log.open("w") as file:
        server = subprocess.Popen(line, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=file, stderr=file)
    try:
        for _ in range(2 * START_S):
            assert server.poll() is None, f"server died: {log.read_text()[-2000:]}"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail(f"server not up after {START_S} s: {log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def test_a_schema_that_is_ignored_is_found_out_and_what_is_said_is_counted(url: str) -> None:
    usage = StageUsage()
    with closing(openai.open(openai.Config(base_url=url, concurrency=8))) as llm:
        questions = [asking.question(number, top=5) for number in range(6)]
        config = ask.AskConfig(attempts=2)
        told = list(ask.judgements({"yes_no": asking.YesNo()}, llm, questions, config=config, usage=usage))
        facts = llm.facts()
    assert facts["structured_obeyed"] is False
    assert facts["logprobs"] is False
    # The tiny model knows one sentence: no list, so every question is asked twice and stays unanswered, with its words.
    assert {one.row.failure for one in told} == {"unparsed"}
    assert all((one.row.reply or "").startswith("Explanation: words") for one in told)
    assert usage.manifest()["failures"] == {"unparsed": 6}
    assert usage.tokens_in > 6 * 50
    assert usage.tokens_out > 6 * 5


def test_an_explanation_is_read(url: str) -> None:
    with closing(openai.open(openai.Config(base_url=url))) as llm:
        config = ask.AskConfig()
        told = list(ask.explanations(asking.Echo(), llm, [asking.examples(0)], config=config, seed=0))
    assert told[0].explanation.text == "Explanation: words for parts of the day"
    assert told[0].row.tokens_out > 0


def test_what_it_refuses_is_one_line(url: str) -> None:
    with closing(openai.open(openai.Config(base_url=url, extra_body={"odd": 1}))) as llm:
        questions = (asking.question(number) for number in range(50))
        told = ask.judgements({"yes_no": asking.YesNo()}, llm, questions, config=ask.AskConfig())
        with pytest.raises(EngineError, match=r"not even a test prompt.*Unexpected fields in the request"):
            list(told)
    with pytest.raises(StudyError, match="'other' is not served there; it lists"):
        openai.open(openai.Config(base_url=url, model="other"))
