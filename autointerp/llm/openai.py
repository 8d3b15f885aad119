"""Any OpenAI-compatible server, or several of one model: vLLM, SGLang, llama.cpp, Ollama, Azure, hosted ones.

    llm: {use: openai, base_url: "http://127.0.0.1:8000/v1", model: Qwen/Qwen3-8B}
    llm: {use: openai, base_url: ["http://gpu1:8000/v1", "http://gpu2:8000/v1"], model: Qwen/Qwen3-8B}
    llm: {use: openai, base_url: "https://NAME.openai.azure.com/openai/deployments/D", model: D,
          extra_headers: {api-key: "${AZURE_OPENAI_API_KEY}"}, extra_query: {api-version: "2024-10-21"}}

The key comes from the environment variable named by `api_key_env`, never from a file. What the server and model can do
is determined once, by a test prompt of the same shape as the first request: whether it obeys a JSON schema (a 200 alone
proves nothing), and which parameters it refuses; those are adapted or left out from then on, which is printed once and
recorded in the manifest.

Stored replies belong to the model: its name, what the server tells of its weights (vLLM: their path, llama.cpp: their
size) and `revision`, or to `identity` where that is set; never to the server's address.
"""

import os
import re
from collections.abc import Mapping

from autointerp.errors import StudyError
from autointerp.llm._client import Client
from autointerp.llm._http import Http
from autointerp.llm._settings import VARIABLE
from autointerp.llm._settings import Config as Config


def open(config: Config) -> Client:
    """Connect.

    Raises:
        StudyError: no server answers, no model is named and several are listed, or the key or a header is malformed.
    """
    key = os.environ.get(config.api_key_env, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise StudyError(
            f"${config.api_key_env} holds characters that no key has (spaces, line ends, accents): set it again"
        )
    headers = {name: VARIABLE.sub(_from_environment, value) for name, value in config.extra_headers.items()}
    return Client(config, _connect(config, key, headers))


async def _connect(config: Config, key: str, headers: Mapping[str, str]) -> Http:
    return Http(key, headers, config.extra_query, connections=config.concurrency, timeout_s=config.timeout_s)


def _from_environment(match: re.Match[str]) -> str:
    value = os.environ.get(match[1], "").strip()
    if not value or not value.isascii() or not value.isprintable():
        raise StudyError(f"extra_headers: the environment variable {match[1]} is not set, or is not plain ASCII")
    return value
