"""The response store of a run: every reply that was paid for, found again by what was asked.

One SQLite file in WAL mode, which several processes may share. A reply is committed before anybody sees it, so that a
killed run repeats no finished call. Replies that never came (`text` None) are not stored: they are asked for again.
Nothing of how a server is reached (address, key) is written.
"""

import functools
import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import orjson

from autointerp.errors import RunDirectoryError
from autointerp.quickjson import loads, quoted
from autointerp.records import Message, Reply, Request, Sampling, TokenLogprob, Usage

# Written into the file: 2 is the first whose keys no two questions can share. Rows in the order of their coming: in the
# order of their keys, each would touch a page of its own.
VERSION = 2
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS messages (hash BLOB PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS responses (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, fingerprint TEXT NOT NULL, request TEXT NOT NULL,
    reply TEXT NOT NULL, created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
PRAGMA user_version = {VERSION};
COMMIT;
"""
USED = tuple(one.name for one in fields(Usage))
SAMPLED = tuple(one.name for one in fields(Sampling))
# Lists of few-shot messages remembered as stored; they recur in every prompt.
MOST_KNOWN = 1000


def _digest(*parts: str) -> bytes:
    """Hash texts, each behind its length, so that no two lists of texts look the same."""
    told = "".join([f"{len(part)}:{part}" for part in parts])
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=20).digest()


def key(fingerprint: str, request: Request) -> bytes:
    """20 bytes that name what was asked of whom: model, messages, sampling and schema; never `request.key`."""
    told = [part for message in request.messages for part in (message.role, message.content)]
    return _digest(fingerprint, _sampling(request.sampling), request.schema or "", *told)


@functools.lru_cache(maxsize=4096)
def _sampling(sampling: Sampling) -> str:
    return json.dumps({name: getattr(sampling, name) for name in SAMPLED})


@functools.lru_cache(maxsize=64)
def _quoted(schema: str | None) -> str:
    return "null" if schema is None else quoted(schema)


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A reply that was paid for: the key of what was asked, what was asked, and what came back."""

    name: bytes
    request: Request
    reply: Reply


class Store:
    """Replies on disk, by `key`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[tuple[Message, ...], str] = {}
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
            # NORMAL: a commit survives the death of the process; only a power cut can lose the last few.
            self._db.execute("PRAGMA journal_mode=WAL").fetchone()
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA wal_autocheckpoint=8000")  # pages; a checkpoint flushes to disk
            version = self._version()
            if version == 0:
                self._db.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        if version not in {0, VERSION}:
            raise RunDirectoryError(
                f"{path}: the response store has version {version}, this program reads {VERSION}: remove it, and its "
                "replies are asked for again, or use the version of autointerp that wrote it"
            )

    def get(self, name: bytes) -> Reply | None:
        """The stored reply, marked `from_cache`, with an empty `key`."""
        row = self._run("SELECT reply FROM responses WHERE key = ?", (name,)).fetchone()
        return _decode(row[0]) if row else None

    def put(self, fingerprint: str, paid: Sequence[CachedReply]) -> list[Reply]:
        """Store replies of one model for good, all in one commit, and return them.

        Where another process was first, its reply stays and is returned.
        """
        if not paid:
            return []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            added = [self._add(fingerprint, one) for one in paid]
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        firsts = [None if new else self.get(one.name) for new, one in zip(added, paid, strict=True)]
        return [
            one.reply if first is None else replace(first, key=one.reply.key, from_cache=False)
            for one, first in zip(paid, firsts, strict=True)
        ]

    def _add(self, fingerprint: str, paid: CachedReply) -> int:
        *shots, last = paid.request.messages
        asked = (
            f'[[{self._shots(tuple(shots))}["{last.role}", {quoted(last.content)}]], '
            f"{_sampling(paid.request.sampling)}, {_quoted(paid.request.schema)}]"
        )
        return self._db.execute(
            "INSERT OR IGNORE INTO responses (key, fingerprint, request, reply) VALUES (?, ?, ?, ?)",
            (paid.name, fingerprint, asked, _encode(paid.reply)),
        ).rowcount

    def export(self) -> Iterator[dict[str, object]]:
        """Yield everything stored, one JSON-able object per reply, prompts in full."""
        for fingerprint, asked, reply, created in self._run(
            "SELECT fingerprint, request, reply, created FROM responses ORDER BY id", ()
        ):
            messages, sampling, schema = loads(asked)
            yield {
                "model": fingerprint, "messages": self._prompt(messages), "sampling": sampling,
                "schema": schema and loads(schema), "reply": loads(reply), "created": created,
            }  # fmt: skip

    def __len__(self) -> int:
        return self._run("SELECT count(*) FROM responses", ()).fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _version(self) -> int:
        """What wrote the file: 0 for nobody yet, 1 before versions were written."""
        (filled,) = self._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'responses'").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        return version or filled

    def _shots(self, messages: tuple[Message, ...]) -> str:
        """Store few-shot messages, each once; return them as their roles and hashes, in JSON."""
        known = self._known.get(messages)
        if known is None:
            known = "".join(f'["{one.role}", "{self._message(one).hex()}"], ' for one in messages)
            if len(self._known) < MOST_KNOWN:
                self._known[messages] = known
        return known

    def _message(self, message: Message) -> bytes:
        name = _digest(message.content)
        blob = message.content.encode("utf-8", "surrogatepass")
        self._db.execute("INSERT OR IGNORE INTO messages VALUES (?, ?)", (name, blob))
        return name

    def _prompt(self, messages: list[tuple[str, str]]) -> list[dict[str, str]]:
        *shots, (last_role, last) = messages
        told = []
        for role, name in shots:
            blob: bytes = self._run("SELECT content FROM messages WHERE hash = ?", (bytes.fromhex(name),)).fetchone()[0]
            told.append({"role": role, "content": blob.decode("utf-8", "surrogatepass")})
        return [*told, {"role": last_role, "content": last}]

    def _run(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> RunDirectoryError:
        return RunDirectoryError(
            f"{self.path}: the response store cannot be used ({error}); is the disk full, or the file not a store?"
        )


def _encode(reply: Reply) -> str:
    value = {
        "text": reply.text, "finish_reason": reply.finish_reason,
        "usage": {name: getattr(reply.usage, name) for name in USED},
        "logprobs": [[token.token, token.logprob, token.top] for token in reply.logprobs],
    }  # fmt: skip
    numbers = [token.logprob for token in reply.logprobs] + [mass for token in reply.logprobs for _, mass in token.top]
    try:
        if math.isfinite(sum(numbers)):
            return orjson.dumps(value).decode()
    except TypeError:  # half characters
        pass
    return json.dumps(value)


def _decode(stored: str) -> Reply:
    value: dict[str, Any] = loads(stored)
    logprobs = tuple(
        TokenLogprob(token, logprob, tuple((text, mass) for text, mass in top))
        for token, logprob, top in value["logprobs"]
    )
    return Reply(
        key="", text=value["text"], finish_reason=value["finish_reason"], logprobs=logprobs,
        usage=Usage(**value["usage"]), from_cache=True,
    )  # fmt: skip
