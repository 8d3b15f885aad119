"""Settings of clients of LLM servers and providers."""

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from autointerp.llm.base import Price

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_HEADERS = {"authorization", "api-key", "x-api-key", "x-goog-api-key"}


class Settings(BaseModel):
    """How one model is requested, wherever it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    model: str = Field(default="", description="name the server knows the model by; empty: the only one it lists")
    revision: str = Field(default="", description="the model's revision or quantisation, if the name does not say")
    identity: str = Field(
        default="", description="name under which replies are stored, instead of model, weights' path and revision"
    )
    api_key_env: str = Field(
        default="OPENAI_API_KEY",
        description="name of the environment variable that holds the key, if any",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
    )
    concurrency: int = Field(default=64, ge=1, le=4096, description="requests in flight at once, over all servers")
    timeout_s: float = Field(default=300.0, gt=0, description="longest wait for one reply, in seconds")
    retries: int = Field(default=6, ge=0, description="repeats of a call that was dropped, timed out or failed (5xx)")
    patience_s: float = Field(
        default=120.0, gt=0, description="seconds without any reply, server down or rate limit reached, before stopping"
    )
    context_length: int | None = Field(default=None, gt=0, description="tokens, prompt and reply; asked of the server")
    tokenizer: str = Field(default="", description="folder or hub id of the model's tokenizer, to count prompt tokens")
    structured: Literal["auto", "json_schema", "wrapped", "plain"] = Field(
        default="auto", description="how a reply's form is enforced; wrapped: as an object's only field"
    )
    thinking_tokens: int = Field(
        default=0, ge=0, description="tokens a reasoning model may think before its reply, added to the reply's limit"
    )
    reasoning_effort: Literal["", "none", "minimal", "low", "medium", "high"] = Field(
        default="", description="how much a reasoning model thinks, where the server takes this parameter"
    )
    extra_body: dict[str, object] = Field(default_factory=dict, description="further fields of every request's body")
    price: Price = Field(default=Price(), description="US dollars per million tokens")

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of the servers, or the provider's name."""
        raise NotImplementedError


class Config(Settings):
    """A server that speaks OpenAI's chat API."""

    base_url: str | tuple[str, ...] = Field(
        description="address up to and with /v1, such as http://127.0.0.1:8000/v1; a list: servers of the same model"
    )
    extra_headers: dict[str, str] = Field(
        default_factory=dict, description="further HTTP headers; ${NAME} in a value is read from the environment"
    )
    extra_query: dict[str, str] = Field(default_factory=dict, description="query parameters, such as api-version")

    @property
    def urls(self) -> tuple[str, ...]:
        """The servers' addresses."""
        return (self.base_url,) if isinstance(self.base_url, str) else self.base_url

    @field_validator("base_url")
    @classmethod
    def _addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        urls = (value,) if isinstance(value, str) else value
        checked = tuple(_address(url) for url in urls)
        if not checked or len(set(checked)) < len(checked):
            raise ValueError("base_url must hold at least one address, and each only once")
        return checked[0] if isinstance(value, str) else checked

    @field_validator("extra_headers")
    @classmethod
    def _headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9-]+", name) or not re.fullmatch(r"[ -~]*", value):
                raise ValueError("extra_headers: names are letters, digits and '-'; values have no accents or newlines")
            if name.lower() in _SECRET_HEADERS and not VARIABLE.search(value):
                raise ValueError(
                    f"extra_headers: put the secret of {name!r} into an environment variable and write ${{NAME}} here"
                )
        return headers


class Hosted(Settings):
    """A model of a provider that any-llm supports."""

    model: str = Field(description="PROVIDER/MODEL, such as anthropic/claude-haiku-4-5 or gemini/gemini-2.5-flash")
    api_key_env: str = Field(
        default="",
        description="name of the environment variable that holds the key; empty: the provider's usual one",
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$",
    )
    concurrency: int = Field(default=16, ge=1, le=4096, description="requests in flight at once")
    api_base: str = Field(default="", description="address of the provider, if not the usual one", pattern=r"^[^@?#]*$")
    provider_options: dict[str, str] = Field(
        default_factory=dict, description="further settings of the provider's client, such as {region_name: us-east-1}"
    )
    batch: bool = Field(default=False, description="use the provider's batch API: half the price, within 24 hours")
    batch_size: int = Field(default=10_000, ge=1, le=50_000, description="most requests in one batch")
    batch_from: int = Field(default=50, ge=1, description="fewer requests than this are sent one by one at once")
    poll_s: float = Field(default=30.0, gt=0, le=3600, description="seconds between two looks at a batch")

    @field_validator("model")
    @classmethod
    def _named(cls, model: str) -> str:
        provider, _, name = model.partition("/")
        if not provider or not name:
            raise ValueError(f"model {model[:80]!r} must be PROVIDER/MODEL, such as anthropic/claude-haiku-4-5")
        return model

    @property
    def provider(self) -> str:
        """The provider, as any-llm names it."""
        return self.model.partition("/")[0]

    @property
    def urls(self) -> tuple[str, ...]:
        """The provider, where an address would stand."""
        return (self.api_base or self.provider,)


def _address(url: str) -> str:
    """Check one address. The messages never echo it, since it may hold a password."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("base_url must be an http:// or https:// address, such as http://127.0.0.1:8000/v1")
    if "@" in parts.netloc or "#" in url:
        raise ValueError("base_url must hold no user or password: put the key into the environment (api_key_env)")
    if "?" in url:
        raise ValueError("base_url must hold no ?query: use `extra_query: {name: value}`, and api_key_env for a key")
    if parts.port == 0 or re.search(r"[^!-~]", parts.path + parts.netloc.partition(":")[2]):
        raise ValueError("base_url must hold a port from 1 to 65535, if any, and no spaces or accents in its path")
    return url.rstrip("/")
