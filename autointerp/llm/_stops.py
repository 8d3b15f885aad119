"""Errors that end a run because of its LLM server: what it answers, and what to do."""

from autointerp.errors import EngineError
from autointerp.llm._failures import Outcome
from autointerp.llm._settings import Settings


def cut(config: Settings, tokens: int) -> EngineError:
    """The server cuts prompts: a judge would read less than it is asked about."""
    return EngineError(
        f"{config.urls[0]} cuts prompts: it reports {tokens} prompt tokens of many more. Raise "
        "the server's context length (Ollama: OLLAMA_CONTEXT_LENGTH or num_ctx) and run the same command again"
    )


def refused_key(config: Settings, outcome: Outcome) -> EngineError:
    """The server does not accept the key."""
    variable = f" in ${config.api_key_env}" if config.api_key_env else ""
    return EngineError(
        f"{config.urls[0]} refuses the key{variable} (HTTP {outcome.status}: "
        f"{outcome.detail}); replies so far are kept: set a valid key (in another header: extra_headers) and run "
        "the same command again"
    )


def unknown(config: Settings, model: str, names: tuple[str, ...], outcome: Outcome) -> EngineError:
    """The server does not know the path or the model; `names` are those it lists."""
    listed = f"; the server lists: {', '.join(names[:20])}" if names and model not in names else ""
    return EngineError(
        f"{config.urls[0]}/chat/completions with model {model!r}: HTTP {outcome.status} "
        f"({outcome.detail}){listed}. base_url must end where the server mounts its API (often /v1; Azure also "
        "needs extra_query: {api-version: ...}), and model must be one that it serves"
    )
