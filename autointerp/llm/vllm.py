"""vLLM in this process: no server to start, one engine, requests submitted as earlier ones finish.

    llm: {use: vllm, model: Qwen/Qwen3-8B}

Needs `pip install 'autointerp[vllm]'` and, for its own wheels, a CUDA device. The engine starts at the first prompt
that the response store does not hold; an explainer and a judge of the same settings share one.
"""

import atexit
import functools
import hashlib
import importlib
import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from autointerp.errors import EngineError, StudyError
from autointerp.llm._failures import Outcome, by_words
from autointerp.llm._form import Form
from autointerp.llm._pump import Pump
from autointerp.llm.base import Price
from autointerp.records import Reply, Request, TokenLogprob, Usage

# Bytes of each weight file that tell one checkpoint from another: safetensors headers and the first tensors.
TOLD_BY = 1 << 20


# The engine takes `gpu_memory_utilization` of the GPU: what the run still holds there is dropped before it starts.
FILLS_GPU = True


class Config(BaseModel):
    """A vLLM engine."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    model: str = Field(description="local folder or hub id")
    revision: str | None = Field(default=None, description="branch, tag or commit on the hub")
    dtype: str = Field(default="auto", description="auto, bfloat16, float16 or float32")
    quantization: str | None = Field(default=None, description="as vLLM names it, such as awq or fp8")
    tensor_parallel_size: int = Field(default=1, ge=1, description="GPUs that share the model")
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1, description="share of each GPU's memory")
    max_model_len: int | None = Field(default=None, gt=0, description="tokens, prompt and reply; the model's own")
    concurrency: int = Field(default=512, ge=1, description="requests submitted to the engine at once")
    thinking_tokens: int = Field(default=0, ge=0, description="tokens a reasoning model may think before its reply")
    chat_template_kwargs: dict[str, object] = Field(
        default_factory=dict, description="for the chat template, such as {enable_thinking: false}"
    )
    engine: dict[str, object] = Field(default_factory=dict, description="further settings of vLLM's AsyncEngineArgs")
    price: Price = Field(default=Price(), description="US dollars per million tokens, to reckon machine time")


class Engine:
    """One running engine, shared by all that need the same."""

    def __init__(self, config: Config) -> None:
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        self.pump = Pump("vllm", config.concurrency)
        self.users = 0
        try:
            self.llm = self.pump.call(_start(config))
        except Exception as error:  # whatever the engine dies of, in another process, comes as one error
            self.pump.close()
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
            raise StudyError(
                f"vllm cannot serve {config.model!r}: {reason} (vLLM's own log above says more)"
            ) from error
        self.context_length = int(self.llm.model_config.max_model_len)

    def close(self) -> None:
        """Free the device."""
        self.pump.call(_stop(self.llm))
        self.pump.close()


_engines: dict[str, Engine] = {}


@atexit.register
def _close_all() -> None:
    for name in list(_engines):
        _engines.pop(name).close()


def free_idle() -> None:
    """Close the engines that nobody uses, so that a subject or another engine has the device."""
    for name in [name for name, engine in _engines.items() if not engine.users]:
        _engines.pop(name).close()


class VLLM:
    """An LLM in this process. Greedy replies do not depend on the order or company of requests, up to rounding."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.name = f"vllm:{config.model}"
        self._key = config.model_dump_json(exclude={"price", "thinking_tokens", "chat_template_kwargs", "concurrency"})
        self.fingerprint = json.dumps(
            [self._key, _checkpoint(config), config.thinking_tokens, config.chat_template_kwargs], sort_keys=True
        )
        self._engine: Engine | None = None
        self._form = Form()
        self._n = 0

    @property
    def context_length(self) -> int | None:
        """Tokens the model takes, prompt and reply together; None before the engine runs, unless set."""
        return self._engine.context_length if self._engine else self.config.max_model_len

    def generate(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer every request once, as many at a time as the engine takes.

        Raises:
            EngineError: the engine died.
        """
        first = next(iterator := iter(requests), None)
        if first is not None:
            yield from self._running().pump.replies(_chain(first, iterator), self._answer)

    def at_hand(self) -> int:
        """Count the replies that came and were not yielded yet."""
        return self._engine.pump.at_hand() if self._engine else 0

    def count_tokens(self, request: Request) -> int | None:
        """Count by the model's tokenizer and chat template."""
        return len(self._tokens(request))

    def learn(self, put: Callable[[Request], Reply], like: Request) -> None:
        """Do nothing: the engine's abilities are known."""

    def facts(self) -> dict[str, str | int | float | bool]:
        """Model, engine version, form of structured output."""
        from importlib.metadata import packages_distributions, version

        packages = packages_distributions().get("vllm", [])
        return {
            "model": self.config.model,
            "revision": self.config.revision or "",
            "checkpoint": _checkpoint(self.config),
            "vllm": f"{packages[0]} {version(packages[0])}" if packages else "",
            "structured": "json_schema",
            "system_role": self._form.system_role,
        }

    def close(self) -> None:
        """Leave the engine; it stays for the next stage, until another one or the process's end needs it gone."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.users -= 1

    def _running(self) -> Engine:
        if self._engine is None:
            if self._key not in _engines:
                free_idle()
                _engines[self._key] = Engine(self.config)
            self._engine = _engines[self._key]
            self._engine.users += 1
        return self._engine

    def _tokens(self, request: Request) -> list[int]:
        tokenizer = _tokenizer(self.config.model, self.config.revision)
        while True:
            messages = self._form.messages(request)
            try:
                return tokenizer.apply_chat_template(
                    messages,
                    add_generation_prompt=True,
                    tokenize=True,
                    return_dict=False,
                    **self.config.chat_template_kwargs,
                )
            except Exception as error:  # templates raise what they like
                if not self._form.adapt(Outcome("bad_request", {}, str(error)), {"messages": messages}):
                    raise StudyError(f"vllm: the chat template of {self.config.model!r} fails: {error}") from error

    async def _answer(self, request: Request) -> Reply:
        exceptions = _vllm("v1.engine.exceptions")
        began, engine = time.monotonic(), self._running()
        tokens = self._tokens(request)
        if len(tokens) + request.sampling.max_tokens + self.config.thinking_tokens > engine.context_length:
            return Reply(key=request.key, text=None, failure="too_long", usage=Usage(calls=0))
        self._n += 1
        name, last = f"{id(self)}-{self._n}", None
        try:
            sampling = _sampling(request, self.config.thinking_tokens)
            async for output in engine.llm.generate({"prompt_token_ids": tokens}, sampling, name):
                last = output
        except exceptions.EngineDeadError as error:
            raise EngineError(
                "vllm's engine died (its log above says why); replies so far are kept: run the same command again"
            ) from error
        except exceptions.EngineGenerateError:
            return Reply(key=request.key, text=None, failure="server_error")
        except (ValueError, getattr(_vllm("exceptions"), "VLLMClientError", ValueError)) as error:
            return Reply(key=request.key, text=None, failure=by_words(400, str(error)))
        if last is None:
            return Reply(key=request.key, text=None, failure="no_reply")
        said = last.outputs[0]
        usage = Usage(
            tokens_in=len(tokens),
            tokens_cached=last.num_cached_tokens or 0,
            tokens_out=len(said.token_ids),
            latency_s=time.monotonic() - began,
        )
        logprobs = _logprobs(said) if request.sampling.top_logprobs else ()
        return Reply(
            key=request.key, text=said.text, finish_reason=said.finish_reason or "", logprobs=logprobs, usage=usage
        )


def open(config: Config) -> VLLM:
    """Make the LLM; the engine itself starts when first needed.

    Raises:
        StudyError: vLLM is not installed.
    """
    if importlib.util.find_spec("vllm") is None:
        raise StudyError(
            "vllm is not installed: pip install 'autointerp[vllm]' (needs a CUDA device), or name a server: use openai"
        )
    return VLLM(config)


async def _start(config: Config) -> Any:
    settings: dict[str, Any] = {
        "model": config.model,
        "revision": config.revision,
        "dtype": config.dtype,
        "quantization": config.quantization,
        "tensor_parallel_size": config.tensor_parallel_size,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "max_model_len": config.max_model_len,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        # Weak models held to a schema write white space without end.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    arguments = _vllm("engine.arg_utils").AsyncEngineArgs(**{**settings, **config.engine})
    return _vllm("v1.engine.async_llm").AsyncLLM.from_engine_args(arguments)


async def _stop(llm: Any) -> None:
    handler = getattr(llm, "output_handler", None)
    if handler is not None:
        handler.cancel()  # it would report the end of the engine as its death
    llm.shutdown()


def _vllm(module: str) -> Any:
    """A module of the vllm package; by name, since this file has the same name."""
    return importlib.import_module(f"vllm.{module}")


@functools.lru_cache(maxsize=2)
def _tokenizer(model: str, revision: str | None) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model, revision=revision)


def _sampling(request: Request, thinking_tokens: int) -> Any:
    params = _vllm("sampling_params")
    sampling = request.sampling
    schema = None if request.schema is None else params.StructuredOutputsParams(json=request.schema)
    return params.SamplingParams(
        temperature=sampling.temperature,
        max_tokens=sampling.max_tokens + thinking_tokens,
        seed=sampling.seed,
        logprobs=sampling.top_logprobs or None,
        structured_outputs=schema,
        output_kind=params.RequestOutputKind.FINAL_ONLY,
    )


def _logprobs(said: Any) -> tuple[TokenLogprob, ...]:
    errors = []
    positions: list[Any] = list(said.logprobs or [])
    for token, alternatives in zip(said.token_ids, positions, strict=False):
        top = tuple((one.decoded_token or "", float(one.logprob)) for one in alternatives.values())
        chosen = alternatives[token]
        errors.append(TokenLogprob(chosen.decoded_token or "", float(chosen.logprob), top))
    return tuple(errors)


def _checkpoint(config: Config) -> str:
    """Hash what tells a local checkpoint from another; the revision for one on the hub."""
    folder = Path(config.model)
    if not folder.is_dir():
        return config.revision or ""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".json", ".safetensors", ".bin", ".jinja"}:
            digest.update(f"{path.name} {path.stat().st_size} ".encode())
            with path.open("rb") as file:
                digest.update(file.read(TOLD_BY))
    return digest.hexdigest()[:16]


def _chain(first: Request, rest: Iterator[Request]) -> Iterator[Request]:
    yield first
    yield from rest
