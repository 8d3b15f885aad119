"""Providers whose API is not OpenAI's, such as Anthropic, Gemini and Bedrock, through the any-llm library.

    llm: {use: hosted, model: anthropic/claude-haiku-4-5}
    llm: {use: hosted, model: openai/gpt-5-mini, batch: true, price: {input: 0.125, output: 1}}

Needs `pip install 'autointerp[hosted]'`. `model` is PROVIDER/MODEL as any-llm names them. The key is read from the
provider's usual variable (ANTHROPIC_API_KEY, GEMINI_API_KEY, ...), or from the one that `api_key_env` names.

`batch: true` sends prompts through the provider's batch API, at half the price and within 24 hours. A batch is named
in a file next to the response store before and after it is submitted: a killed run finds it and pays nothing twice.
`price` is what is paid: name the batch price.
"""

import importlib.util
import os

from autointerp.errors import StudyError
from autointerp.llm._batch import BatchClient
from autointerp.llm._client import Client
from autointerp.llm._providers import BATCHES, connect
from autointerp.llm._settings import Hosted as Config


def open(config: Config) -> Client:
    """Connect.

    Raises:
        StudyError: any-llm is not installed, the provider is unknown, its own library or the key is missing, or it has
            no batches that can be read.
    """
    if importlib.util.find_spec("any_llm") is None:
        raise StudyError("use: hosted needs the any-llm library: pip install 'autointerp[hosted]'")
    if config.batch and config.provider not in BATCHES:
        raise StudyError(
            f"{config.provider}: batches are supported for {', '.join(sorted(BATCHES))}; others need a storage bucket: "
            "set batch: false"
        )
    if config.batch and not BATCHES[config.provider]:
        config = config.model_copy(update={"structured": "plain"})
    key = os.environ.get(config.api_key_env, "").strip() if config.api_key_env else ""
    if config.api_key_env and not key:
        raise StudyError(f"the environment variable {config.api_key_env} is not set: it should hold the key")
    model = config.model.partition("/")[2]
    transport = connect(
        config.provider, model, key, config.api_base, config.provider_options, timeout_s=config.timeout_s
    )
    return BatchClient(config, transport) if config.batch else Client(config, transport, "hosted")
