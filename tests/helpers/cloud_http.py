"""`Cloud` behind the HTTP APIs of Anthropic (messages, batches), Gemini and OpenAI (chat, batches)."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

from tests.helpers.cloud import Cloud, completion

Json = dict[str, Any]


class CloudServer:
    """Serves a cloud in a thread; a context manager. `paths` lists what was called."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.paths: list[str] = []
        self.files: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "CloudServer":
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(10), "server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _serve(self) -> None:
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**26)
        handle = self._checked
        app.add_routes(
            [
                web.post("/v1/messages", handle(self._message)),
                web.post("/v1/messages/batches", handle(self._message_batch)),
                web.get("/v1/messages/batches", handle(self._message_batches)),
                web.get("/v1/messages/batches/{name}", handle(self._message_batch_state)),
                web.get("/v1/messages/batches/{name}/results", handle(self._message_results)),
                web.post("/{version}/models/{model}", handle(self._gemini)),
                web.post("/v1/chat/completions", handle(self._chat)),
                web.post("/v1/files", handle(self._file)),
                web.get("/v1/files/{name}/content", handle(self._content)),
                web.post("/v1/batches", handle(self._batch)),
                web.get("/v1/batches", handle(self._batches)),
                web.get("/v1/batches/{name}", handle(self._batch_state)),
            ]
        )
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, shutdown_timeout=1)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # pyright: ignore

    def _checked(
        self, handler: Callable[[web.Request], Coroutine[Any, Any, web.Response]]
    ) -> Callable[[web.Request], Coroutine[Any, Any, web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            self.paths.append(f"{request.method} {request.path}")
            given = request.headers.get("x-api-key") or request.headers.get("x-goog-api-key")
            if self.cloud.key not in (given, request.headers.get("authorization", "").removeprefix("Bearer ")):
                error = {"type": "authentication_error", "message": f"invalid x-api-key {given}", "code": 401}
                return web.json_response({"type": "error", "error": error}, status=401)
            return await handler(request)

        return handle

    # -- Anthropic

    async def _message(self, request: web.Request) -> web.Response:
        body = await request.json()
        if unknown := set(body) & {"seed", "logprobs", "top_logprobs", "response_format"}:
            return _refused(f"{min(unknown)}: Extra inputs are not permitted")
        if body["messages"][0]["role"] == "system":
            return _refused("messages: Unexpected role 'system'")
        return web.json_response(self._anthropic(body))

    def _anthropic(self, body: Json, text: str | None = None) -> Json:
        schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
        if schema and schema.get("type") == "array":  # Anthropic's own library takes the length out of schemas
            schema = {**schema, "minItems": _length(self.cloud.answer(body), schema["items"].get("enum"))}
        form = {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}} if schema else {}
        text = self.cloud.text({**body, **form}) if text is None else text
        n = len(json.dumps(body["messages"])) // 4
        return {
            "id": "msg",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": n, "output_tokens": len(text)},
        }

    async def _message_batch(self, request: web.Request) -> web.Response:
        entries = (await request.json())["requests"]
        for entry in entries:
            if entry["params"]["messages"][0]["role"] == "system":
                return _refused("requests.0.messages: Unexpected role 'system'")
            entry["body"] = entry["params"]
        return web.json_response(self._anthropic_state(self.cloud.submit(entries, None)))

    def _anthropic_state(self, name: str) -> Json:
        job = self.cloud.jobs[name]
        ended, n = job.state == "completed", len(job.entries)
        counts = {"processing": 0 if ended else n, "succeeded": n if ended else 0, "errored": 0, "canceled": 0}
        return {
            "id": name,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {**counts, "expired": 0},
            "created_at": "2030-01-01T00:00:00Z",
            "expires_at": "2030-01-02T00:00:00Z",
            "ended_at": None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{self.url}/v1/messages/batches/{name}/results" if ended else None,
        }

    async def _message_batches(self, request: web.Request) -> web.Response:
        data = [self._anthropic_state(name) for name in reversed(self.cloud.jobs)]
        return web.json_response({"data": data, "has_more": False, "first_id": None, "last_id": None})

    async def _message_batch_state(self, request: web.Request) -> web.Response:
        self.cloud.look(request.match_info["name"])
        return web.json_response(self._anthropic_state(request.match_info["name"]))

    async def _message_results(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        bodies = {entry["custom_id"]: entry["body"] for entry in self.cloud.jobs[name].entries}
        lines = []
        for custom_id, text, code in self.cloud.results(name):
            error = {"type": "error", "error": {"type": code, "message": "spoilt"}}
            message = None if text is None else self._anthropic(bodies[custom_id], text)
            result = {"type": "errored", "error": error} if code else {"type": "succeeded", "message": message}
            lines.append(json.dumps({"custom_id": custom_id, "result": result}))
        return web.Response(text="\n".join(lines), content_type="application/x-jsonl")

    # -- Gemini

    async def _gemini(self, request: web.Request) -> web.Response:
        body = await request.json()
        settings = body.get("generationConfig", {})
        messages = [
            {"role": one.get("role", "user"), "content": "".join(part["text"] for part in one["parts"])}
            for one in body["contents"]
        ]
        schema = settings.get("responseJsonSchema") or settings.get("response_json_schema")
        form = {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}} if schema else {}
        text = self.cloud.text({"messages": messages, "seed": settings.get("seed"), **form})
        n = len(json.dumps(messages)) // 4
        usage = {"promptTokenCount": n, "candidatesTokenCount": len(text), "totalTokenCount": n + len(text)}
        content = {"role": "model", "parts": [{"text": text}]}
        candidates = [{"content": content, "finishReason": "STOP", "index": 0}]
        return web.json_response({"candidates": candidates, "usageMetadata": usage, "modelVersion": "m"})

    # -- OpenAI

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response(completion(body, self.cloud.text(body)))

    async def _file(self, request: web.Request) -> web.Response:
        form = await request.post()
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"].file.read().decode()  # pyright: ignore
        made = {"id": name, "object": "file", "bytes": 1, "created_at": 1, "filename": "f", "purpose": "batch"}
        return web.json_response({**made, "status": "processed"})

    async def _batch(self, request: web.Request) -> web.Response:
        given = await request.json()
        entries = [json.loads(line) for line in self.files[given["input_file_id"]].splitlines()]
        return web.json_response(self._openai_state(self.cloud.submit(entries, given.get("metadata"))))

    def _openai_state(self, name: str) -> Json:
        job = self.cloud.jobs[name]
        return {
            "id": name,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "status": job.state,
            "created_at": job.created,
            "completion_window": "24h",
            "input_file_id": "f",
            "output_file_id": name if job.state == "completed" else None,
            "metadata": job.metadata,
            "request_counts": {"total": len(job.entries), "completed": 0, "failed": 0},
        }

    async def _batches(self, request: web.Request) -> web.Response:
        data = [self._openai_state(name) for name in reversed(self.cloud.jobs)]
        return web.json_response({"object": "list", "data": data, "has_more": False})

    async def _batch_state(self, request: web.Request) -> web.Response:
        self.cloud.look(request.match_info["name"])
        return web.json_response(self._openai_state(request.match_info["name"]))

    async def _content(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        bodies = {entry["custom_id"]: entry["body"] for entry in self.cloud.jobs[name].entries}
        lines = []
        for custom_id, text, code in self.cloud.results(name):
            if not code:  # failed ones are in another file
                response = {"status_code": 200, "body": completion(bodies[custom_id], text or "")}
                lines.append(json.dumps({"custom_id": custom_id, "response": response, "error": None}))
        return web.Response(text="\n".join(lines))


def _refused(message: str) -> web.Response:
    error = {"type": "invalid_request_error", "message": message}
    return web.json_response({"type": "error", "error": error}, status=400)


def _length(text: str, allowed: list[object] | None) -> int:
    """How many items to answer with: those of the text if the schema allows them, else another number."""
    value = json.loads(text)
    fits = isinstance(value, list) and (allowed is None or all(one in allowed for one in value))
    return len(value) if fits else 3 + (isinstance(value, list) and len(value) == 3)
