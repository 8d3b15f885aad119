"""The any-llm library itself against a loopback server that speaks three providers' HTTP APIs. Needs the extra."""

import importlib.util
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from autointerp.asking import ask
from autointerp.errors import EngineError
from autointerp.llm import hosted
from tests.helpers.cloud import Cloud, each_paid_once
from tests.helpers.cloud_http import CloudServer
from tests.llm.test_hosted import judged
from tests.llm.test_openai import all_right

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(importlib.util.find_spec("any_llm") is None, reason="needs pip install 'autointerp[hosted]'"),
]
KEY = "sk-cloud-0123456789"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudServer]:
    monkeypatch.setenv("CLOUD_KEY", KEY)
    with CloudServer(Cloud(key=KEY, clock=time.time)) as started:
        yield started


@contextmanager
def client(
    server: CloudServer, model: str, store: Path | None = None, **settings: Any
) -> Iterator[tuple[Any, ask.LLM]]:
    base = server.url + ("/v1" if model.startswith("openai") else "")
    config = hosted.Config(model=model, api_base=base, api_key_env="CLOUD_KEY", poll_s=0.01, **settings)
    with closing(hosted.open(config)) as llm:
        yield llm, ask.connect(llm, store=store)


@pytest.mark.parametrize(
    ("model", "left_out", "path"),
    [
        ("openai/m", "", "POST /v1/chat/completions"),
        ("anthropic/claude-haiku-4-5", "logprobs seed top_logprobs", "POST /v1/messages"),
        ("gemini/gemini-2.5-flash", "", "POST /v1/models/gemini-2.5-flash:generateContent"),
    ],
)
def test_a_provider_answers_every_question(model: str, left_out: str, path: str, server: CloudServer) -> None:
    with client(server, model) as (llm, asked):
        found, usage = judged(asked, 40, top=5)
        assert all_right(found)
        assert llm.facts()["left_out"] == left_out
        assert llm.facts()["structured_obeyed"] is True
        refused_unsent = len(left_out.split())  # the library refuses some parameters itself
        assert len(server.paths) <= usage.calls <= len(server.paths) + refused_unsent
        assert usage.tokens_in > 0
        assert set(server.paths) == {path}


@pytest.mark.parametrize("model", ["openai/m", "anthropic/claude-haiku-4-5"])
def test_a_batch_is_submitted_read_and_found_again(model: str, server: CloudServer, tmp_path: Path) -> None:
    settings = {"batch": True, "batch_from": 5, "store": tmp_path / "r.sqlite"}
    with client(server, model, **settings) as (_, asked):
        found, _ = judged(asked, 60)
        assert all_right(found)
    assert [len(job.entries) for job in server.cloud.jobs.values()] == [60]
    (tmp_path / "r.sqlite").unlink()
    with client(server, model, **settings) as (_, asked):
        found, _ = judged(asked, 60)
        assert all_right(found)
    assert len(server.cloud.jobs) == 1
    assert max(server.cloud.paid.values()) <= 2  # test prompts only
    batch = {key: n for key, n in server.cloud.paid.items() if "Greet the reader" not in key}
    assert set(batch.values()) == {1}
    assert each_paid_once(Cloud(paid=type(server.cloud.paid)(batch)))


@pytest.mark.parametrize("model", ["openai/m", "anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash"])
def test_a_wrong_key_and_a_dead_provider_are_one_line(
    model: str, server: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_KEY", "sk-wrong-0123456789")
    with (
        client(server, model) as (_, asked),
        pytest.raises(EngineError, match=r"refuses the key in \$CLOUD_KEY") as one,
    ):
        judged(asked, 5)
    assert "sk-wrong-0123456789" not in str(one.value)
    server.__exit__()
    with client(server, model, patience_s=0.5) as (_, asked), pytest.raises(EngineError, match="no reply for") as other:
        judged(asked, 5)
    assert "\n" not in str(one.value) + str(other.value)
