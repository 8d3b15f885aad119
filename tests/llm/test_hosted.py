"""Providers through any-llm: the client's laws hold behind another transport, and a batch is never paid twice."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from autointerp.asking import ask
from autointerp.asking.budget import StageUsage
from autointerp.cli._study import llm_of
from autointerp.errors import EngineError, StudyError
from autointerp.llm import _batch, _client, hosted
from autointerp.llm._ledger import Ledger
from tests.helpers import asking
from tests.helpers.cloud import Cloud, each_paid_once, install
from tests.llm.test_openai import all_right

KEY = "sk-cloud-0123456789"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("CLOUD_KEY", KEY)
    monkeypatch.setattr(_client, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(_batch, "FIRST_WAIT_S", 0.01)
    found = Cloud(clock=time.time)
    found.opened = install(found, monkeypatch)  # pyright: ignore[reportAttributeAccessIssue]
    return found


@contextmanager
def client(model: str = "openai/m", store: Path | None = None, **settings: Any) -> Iterator[tuple[Any, ask.LLM]]:
    config = hosted.Config(model=model, api_key_env="CLOUD_KEY", poll_s=0.001, **settings)
    with closing(hosted.open(config)) as llm:
        yield llm, ask.connect(llm, store=store)


def judged(llm: ask.LLM, n: int, top: int = 0) -> tuple[dict[str, ask.Judged], StageUsage]:
    usage = StageUsage()
    questions = (asking.question(number, top=top) for number in range(n))
    told = ask.judgements({"yes_no": asking.YesNo()}, llm, questions, config=ask.AskConfig(), usage=usage)
    return {one.question.question_id: one for one in told}, usage


def test_every_question_is_answered_and_counted(cloud: Cloud) -> None:
    with client() as (llm, asked):
        found, usage = judged(asked, 100, top=5)
        assert len(found) == 100
        assert all_right(found)
        assert found["sae-q0"].judgements[0].probability == pytest.approx(0.7788, abs=1e-3)
        assert usage.calls == len(cloud.live)
        assert {body["model"] for body in cloud.live} == {"m"}
        assert llm.facts()["structured"] == "json_schema"
        assert llm.facts()["model"] == "openai/m"


def test_parameters_that_a_provider_does_not_take_are_left_out(cloud: Cloud) -> None:
    cloud.refused, cloud.obeys = ("timeout", "seed", "logprobs", "top_logprobs"), False
    with client("anthropic/claude") as (llm, asked):
        found, _ = judged(asked, 20, top=5)
        assert all_right(found)
        assert llm.facts()["left_out"] == "logprobs seed top_logprobs"


@pytest.mark.parametrize(
    ("error", "fields", "said"),
    [
        ("AuthenticationError", {"status_code": 401}, r"refuses the key in \$CLOUD_KEY"),
        ("AuthenticationError", {}, r"refuses the key in \$CLOUD_KEY"),
        ("ModelNotFoundError", {"status_code": 404}, "with model 'openai/m'"),
    ],
)
def test_what_cannot_pass_ends_the_run_in_one_line(error: str, fields: dict[str, Any], said: str, cloud: Cloud) -> None:
    with client() as (_, asked):
        provider = cloud.opened[0]  # pyright: ignore[reportAttributeAccessIssue]
        provider.faults["acompletion"] = [
            getattr(provider.errors, error)(f"the key {KEY} or the model is unknown", **fields) for _ in range(50)
        ]
        with pytest.raises(EngineError, match=said) as caught:
            judged(asked, 5)
        assert KEY not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        ("RateLimitError", {"status_code": 429, "retry_after": "0.01"}),
        ("RateLimitError", {}),
        ("ProviderError", {"status_code": 529, "error_type": "overloaded_error"}),
        ("ProviderError", {}),
    ],
)
def test_trouble_that_passes_is_waited_out(error: str, fields: dict[str, Any], cloud: Cloud) -> None:
    with client(structured="plain") as (_, asked):
        provider = cloud.opened[0]  # pyright: ignore[reportAttributeAccessIssue]
        provider.faults["acompletion"] = [
            getattr(provider.errors, error)("overloaded, try again", **fields) for _ in range(2)
        ]
        found, usage = judged(asked, 10)
        assert all_right(found)
        assert usage.retried == {}


def test_a_batch_answers_all_and_few_prompts_go_one_by_one(cloud: Cloud, tmp_path: Path) -> None:
    with client(batch=True, batch_from=20, store=tmp_path / "r.sqlite") as (_, asked):
        found, usage = judged(asked, 100, top=5)
        assert all_right(found)
        assert [len(job.entries) for job in cloud.jobs.values()] == [100]
        assert len(cloud.live) <= 4  # test prompts
        assert all(entry["body"]["response_format"] for entry in cloud.jobs["batch_1"].entries)
        assert found["sae-q0"].judgements[0].probability == pytest.approx(0.7788, abs=1e-3)
        assert usage.calls == 100 + len(cloud.live)
        assert each_paid_once(cloud)
        judged(asked, 110, top=5)
        assert list(cloud.jobs) == ["batch_1"]
        assert each_paid_once(cloud)


def test_anthropic_gets_the_system_message_as_a_field_and_no_schema(cloud: Cloud) -> None:
    with client("anthropic/claude", batch=True, batch_from=5) as (llm, asked):
        found, _ = judged(asked, 10)
        assert all_right(found)
        bodies = [entry["body"] for entry in cloud.jobs["batch_1"].entries]
        assert {body["system"] for body in bodies} == {"Answer with a JSON list."}
        assert {body["messages"][0]["role"] for body in bodies} == {"user"}
        assert not any("response_format" in body for body in bodies)
        assert llm.facts()["structured"] == "plain"


class Killed(BaseException):
    """The process ends here."""


def die(cloud: Cloud, moment: str, settings: dict[str, Any]) -> None:
    """Judge 60 questions, and die at a moment: in the call that it names, or while replies are read."""
    questions = (asking.question(number) for number in range(60))
    with client(**settings) as (_, asked):
        faults = cloud.opened[0].faults  # pyright: ignore[reportAttributeAccessIssue]
        if moment != "after 7 replies":
            faults["acreate_batch" if moment == "before" else moment] = [Killed()]
        told = ask.judgements({"yes_no": asking.YesNo()}, asked, questions, config=ask.AskConfig())
        list(itertools.islice(told, 7))
        raise Killed


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("moment", ["after acreate_batch", "aretrieve_batch", "after 7 replies", "before"])
def test_a_killed_run_finds_its_batch_and_pays_nothing_twice(
    moment: str, metadata: bool, cloud: Cloud, tmp_path: Path
) -> None:
    """Killed before or after the provider took the batch, while waiting, and while replies are read."""
    cloud.keeps_metadata = metadata
    settings = {"batch": True, "batch_from": 5, "store": tmp_path / "r.sqlite", "structured": "plain"}
    with pytest.raises(Killed):
        die(cloud, moment, settings)
    with client(**settings) as (_, asked):
        found, _ = judged(asked, 60)
    assert len(found) == 60
    assert all_right(found)
    assert len(cloud.jobs) == 1
    assert each_paid_once(cloud)


def test_prompts_that_a_batch_leaves_unanswered_are_sent_again_elsewhere(cloud: Cloud, tmp_path: Path) -> None:
    """Also by the next process: the failed results of the first batch are never read again."""
    spoilt: set[str] = set()

    def spoil(name: str, number: int) -> str:
        if number == 1 and int(name, 16) % 4 == 0:
            spoilt.add(name)
            return "overloaded_error"
        return ""

    cloud.spoil = spoil
    with client(batch=True, batch_from=5, store=tmp_path / "r.sqlite") as (_, asked):
        found, usage = judged(asked, 80)
    assert all_right(found)
    assert 5 <= len(spoilt) < 60
    assert [len(job.entries) for job in cloud.jobs.values()] == [80, len(spoilt)]
    assert usage.retried == {"server_error": len(spoilt)}
    ledger = Ledger(tmp_path / "batches.jsonl")
    assert [len(batch.names) for batch in ledger.batches.values()] == [80 - len(spoilt), len(spoilt)]


def test_an_expired_batch_and_a_rejected_one(cloud: Cloud) -> None:
    with client(batch=True, batch_from=5, structured="plain") as (_, asked):
        look = cloud.look

        def expire(name: str) -> Any:
            cloud.jobs[name].state = "expired" if name == "batch_1" else cloud.jobs[name].state
            return look(name)

        cloud.look = expire  # pyright: ignore[reportAttributeAccessIssue]
        found, usage = judged(asked, 10)
        assert all_right(found)
        assert usage.retried == {"no_reply": 10}

        def reject(name: str) -> Any:
            cloud.jobs[name].state = "failed"
            return cloud.jobs[name]

        cloud.look = reject  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(EngineError, match=r"rejected batch batch_3: line 1 is too long$"):
            judged(asked, 10, top=3)


def test_a_call_that_may_have_been_carried_out_is_not_repeated(cloud: Cloud, tmp_path: Path) -> None:
    """The provider took the batch, its reply was lost: the next start finds it."""
    settings = {"batch": True, "batch_from": 5, "store": tmp_path / "r.sqlite", "structured": "plain"}
    with client(**settings) as (_, asked):
        lost = type("APIConnectionError", (Exception,), {})("connection lost")
        cloud.opened[0].faults["after acreate_batch"] = [lost]  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(EngineError, match="which looks for the open batch first"):
            judged(asked, 20)
    with client(**settings) as (_, asked):
        found, _ = judged(asked, 20)
    assert all_right(found)
    assert len(cloud.jobs) == 1


def test_a_ledger_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "batches.jsonl"
    ledger = Ledger(path)
    first = ledger.begin(["a", "b"])
    ledger.submitted(first, "batch_1")
    second = ledger.begin(["c"])
    path.write_text(path.read_text()[:-5])
    again = Ledger(path)
    assert [(one.id, one.names) for one in again.batches.values()] == [("batch_1", {"a", "b"})]
    again.begin(["d"])
    assert [sorted(one.names) for one in Ledger(path).batches.values()] == [["a", "b"], ["d"]]
    assert second.key not in Ledger(path).batches


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "gemini/flash", "batch": True}, "batches are supported for anthropic, mistral, openai, together"),
        ({"model": "openai/m", "api_key_env": "NOT_SET"}, "NOT_SET is not set"),
        ({"model": "openai/m"}, r"openai: set \$CLOUD_API_KEY to the key"),
    ],
)
def test_what_cannot_be_opened_says_what_to_do(settings: dict[str, Any], said: str, cloud: Cloud) -> None:
    with pytest.raises(StudyError, match=said):
        hosted.open(hosted.Config(**settings))


def test_names_of_models_and_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert llm_of("hosted:anthropic/claude", None) == {"use": "hosted", "model": "anthropic/claude"}
    with pytest.raises(ValidationError, match="must be PROVIDER/MODEL"):
        hosted.Config(model="claude")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"pip install 'autointerp\[hosted\]'"):
        hosted.open(hosted.Config(model="anthropic/claude"))


def test_batch_settings_are_no_part_of_a_model(cloud: Cloud) -> None:
    with client() as (one, _), client(batch=True, batch_size=7) as (other, _):
        assert one.fingerprint == other.fingerprint
        assert json.loads(one.fingerprint)[0] == "openai/m"
