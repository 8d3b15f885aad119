"""One HTTP response as bytes, faults of transport included."""

import json
from dataclasses import dataclass, field

from tests.helpers.server.faults import Body

REASONS = {400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 404: "Not Found", 429: "Too Many Requests"}


@dataclass
class Answer:
    """One HTTP response."""

    status: int
    value: Body
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""
    escape: bool = False

    @classmethod
    def error(cls, status: int, message: str, code: str | None = None) -> "Answer":
        """An error as OpenAI's API writes it."""
        return cls(status, {"error": {"message": message, "type": "error", "code": code}})

    @property
    def whole(self) -> bool:
        """Whether a client can read it."""
        unread = {"drop", "cut-json", "cut-body", "not-json", "error-200", "no-choices", "stream"}
        return self.status == 200 and self.fault not in unread

    def wire(self) -> bytes:
        """The bytes to send; none for a dropped connection."""
        text = json.dumps(self.value)
        body = (text.replace("/", "\\/").replace("+", "\\u002B") if self.escape else text).encode()
        body = {
            "cut-json": body[: len(body) // 2],
            "not-json": b"<html>gateway</html>",
            "stream": b"data: " + body + b"\n\ndata: [DONE]\n\n",
        }.get(self.fault, body)
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'OK' if self.status == 200 else 'Error')}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [] if self.fault == "no-type" else ["Content-Type: application/json"]
        lines += ["Connection: close"] if self.fault in {"close", "until-close"} else []
        if self.fault == "chunked":
            lines, body = (
                [*lines, "Transfer-Encoding: chunked"],
                b"7\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"
                % (
                    body[:7],
                    len(body) - 7,
                    body[7:],
                ),
            )
        elif self.fault != "until-close":
            lines = [*lines, f"Content-Length: {len(body)}"]
        whole = "\r\n".join([*lines, "", ""]).encode() + body
        if self.fault == "drop":
            return b""
        if self.fault == "cut-body":
            return whole[: len(whole) - len(body) // 2]
        return whole * 2 if self.fault == "twice" else whole
