"""What a scripted model says: answers to prompts, in the form that a schema asks for, with log-probabilities."""

import json
import re
from collections.abc import Callable

from tests.helpers.server.faults import Body, number


def n_tokens(text: str) -> int:
    """This server's tokenizer: words and marks."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def even(body: Body) -> str:
    """Answer `tests.helpers.asking` questions truly: 1 for each line that ends in "even"."""
    lines = body["messages"][-1]["content"].splitlines()
    return json.dumps([int(line.endswith("even")) for line in lines])


def chance(body: Body) -> str:
    """Answer the shipped prompts: any explanation; a coin thrown by each passage's own text, whatever its place."""
    last = body["messages"][-1]["content"]
    if not last.startswith("Explanation:"):
        return "Explanation: words for parts of the day"
    passages = [line.partition("] ")[2] for line in last.splitlines() if re.match(r"\[\d+\] ", line)]
    return json.dumps([number(passage) % 2 for passage in passages])


def schema_of(body: Body) -> Body | None:
    given = body.get("response_format") or {}
    return given.get("json_schema", {}).get("schema") if given.get("type") == "json_schema" else None


def obey(answer: Callable[[Body], str], body: Body) -> str:
    """Answer in the form that the schema asks for, as a server with structured output would."""
    schema, text = schema_of(body), answer(body)
    if schema is None:
        return text
    if schema.get("type") == "object":
        ((name, inner),) = schema["properties"].items()
        return json.dumps({name: json.loads(_fit(text, inner))})
    return _fit(text, schema)


def _fit(text: str, schema: Body) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if schema.get("type") == "array" and not (isinstance(value, list) and len(value) == schema.get("minItems")):
        return json.dumps([schema["items"]["enum"][0]] * schema["minItems"])
    return json.dumps(value if value is not None else schema.get("enum", [text])[0])


def listed(text: str, more: int) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict):
        return json.dumps({name: json.loads(listed(json.dumps(inner), more)) for name, inner in value.items()})
    return json.dumps(value[:more] if more < 0 else [*value, 1]) if isinstance(value, list) else text


def logprob(part: str, *, nan: bool) -> Body:
    other = {"1": "0", "0": "1"}.get(part, " ")
    value = float("nan") if nan else -0.25
    top = [{"token": part, "logprob": value}, {"token": other, "logprob": -1.5087}]
    return {"token": part, "logprob": value, "top_logprobs": top}
