"""The response store of a run: every paid reply, keyed by its request.

One SQLite file in WAL mode, which several processes may share; with a rollback journal on a network file system, where
a write-ahead log is not safe. A reply is committed before anybody sees it, so that a killed run repeats no finished
call. Failed calls (`text` None) are not stored: they are sent again. Neither the server's address nor the key is
written.
"""

import functools
import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from autointerp.console import note
from autointerp.errors import RunDirectoryError
from autointerp.records import Message, Reply, Request, Sampling, TokenLogprob, Usage

# Written into the file; since version 2 two requests never share a key. Rows are in order of arrival: in
# the order of keys, every insert would change another page.
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
USAGE_FIELDS = frozenset(one.name for one in fields(Usage))
# Few-shot messages remembered as stored; they recur in every prompt.
MOST_REMEMBERED = 10_000

MOUNTS = Path("/proc/self/mountinfo")
# File systems without the shared memory that a write-ahead log needs.
NETWORK = re.compile(r"nfs\d?|cifs|smb\w*|lustre|gpfs|ceph|beegfs\w*|afs|9p|glusterfs|fuse\..+|virtiofs|pvfs2|orangefs")


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder, such as `ext4` or `nfs4`; "" where it is not known."""
    path, best, kind = folder.resolve(), -1, ""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(" - ")
        if len(fields := before.split(" ")) > 4 and after:
            point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4]))
            depth = len(point.parts)
            if depth >= best and path.is_relative_to(point):  # of two mounts on one point, the later one counts
                best, kind = depth, after.split(" ")[0]
    return kind


@functools.cache
def _say(text: str) -> None:
    note(text)


def _digest(*parts: str) -> bytes:
    """Hash texts, each after its length, so that no two lists of texts look the same."""
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).digest()


def key(fingerprint: str, request: Request) -> bytes:
    """20 bytes that identify a request to a model: messages, sampling and schema; never `request.key`."""
    parts = [part for message in request.messages for part in (message.role, message.content)]
    return _digest(fingerprint, _sampling(request.sampling), request.schema or "", *parts)


@functools.lru_cache(maxsize=4096)
def _sampling(sampling: Sampling) -> str:
    return json.dumps(asdict(sampling))


@dataclass(frozen=True, slots=True)
class CachedReply:
    """A paid reply: the key of its request, the request, and the reply."""

    name: bytes
    request: Request
    reply: Reply


class Store:
    """Replies on disk, by `key`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hashes: dict[str, str] = {}
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
            self._set_journal()
            version = self._version()
            if version == 0:
                self._db.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        if version not in {0, VERSION}:
            raise RunDirectoryError(
                f"{path}: the response store has version {version}, this program reads {VERSION}: remove it, and its "
                "replies are requested again, or use the version of autointerp that wrote it"
            )

    def _set_journal(self) -> None:
        kind = file_system(self.path.parent)
        if not NETWORK.fullmatch(kind):
            (mode,) = self._db.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode == "wal":
                # NORMAL: a commit survives the death of the process; only a power cut can lose the last few.
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.execute("PRAGMA wal_autocheckpoint=8000")  # pages; a checkpoint flushes to disk
                return
        self._db.execute("PRAGMA journal_mode=TRUNCATE")
        self._db.execute("PRAGMA synchronous=FULL")
        _say(
            f"{self.path.parent} is on {kind or 'an unknown file system'}: storing replies is slower than on local disk"
        )

    def get(self, name: bytes) -> Reply | None:
        """The stored reply, marked `from_cache`, with an empty `key`."""
        row = self._run("SELECT reply FROM responses WHERE key = ?", (name,)).fetchone()
        return _decode(row[0]) if row else None

    def put(self, fingerprint: str, replies: Sequence[CachedReply]) -> list[Reply]:
        """Store replies of one model in one commit, and return them.

        Where another process stored a reply to the same request first, that one stays and is returned.
        """
        if not replies:
            return []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            added = [self._add(fingerprint, one) for one in replies]
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        firsts = [None if new else self.get(one.name) for new, one in zip(added, replies, strict=True)]
        return [
            one.reply if first is None else replace(first, key=one.reply.key, from_cache=False)
            for one, first in zip(replies, firsts, strict=True)
        ]

    def _add(self, fingerprint: str, cached: CachedReply) -> int:
        *shots, last = cached.request.messages
        messages = [*([shot.role, self._hash(shot)] for shot in shots), [last.role, last.content]]
        asked = json.dumps([messages, asdict(cached.request.sampling), cached.request.schema])
        return self._db.execute(
            "INSERT OR IGNORE INTO responses (key, fingerprint, request, reply) VALUES (?, ?, ?, ?)",
            (cached.name, fingerprint, asked, _encode(cached.reply)),
        ).rowcount

    def export(self) -> Iterator[dict[str, object]]:
        """Yield everything stored, one JSON-able object per reply, with whole prompts."""
        for fingerprint, asked, reply, created in self._run(
            "SELECT fingerprint, request, reply, created FROM responses ORDER BY id", ()
        ):
            messages, sampling, schema = json.loads(asked)
            yield {
                "model": fingerprint,
                "messages": self._prompt(messages),
                "sampling": sampling,
                "schema": schema and json.loads(schema),
                "reply": json.loads(reply),
                "created": created,
            }

    def __len__(self) -> int:
        return self._run("SELECT count(*) FROM responses", ()).fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _version(self) -> int:
        """The version that wrote the file: 0 for a new file, 1 before versions were written."""
        (filled,) = self._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'responses'").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        return version or filled

    def _hash(self, message: Message) -> str:
        """Store a few-shot message once; return its hash in hexadecimal."""
        known = self._hashes.get(message.content)
        if known is None:
            name = _digest(message.content)
            blob = message.content.encode("utf-8", "surrogatepass")
            self._db.execute("INSERT OR IGNORE INTO messages VALUES (?, ?)", (name, blob))
            known = name.hex()
            if len(self._hashes) < MOST_REMEMBERED:
                self._hashes[message.content] = known
        return known

    def _prompt(self, messages: list[tuple[str, str]]) -> list[dict[str, str]]:
        *shots, (last_role, last) = messages
        prompt = []
        for role, name in shots:
            blob: bytes = self._run("SELECT content FROM messages WHERE hash = ?", (bytes.fromhex(name),)).fetchone()[0]
            prompt.append({"role": role, "content": blob.decode("utf-8", "surrogatepass")})
        return [*prompt, {"role": last_role, "content": last}]

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
    logprobs = [[token.token, token.logprob, token.top] for token in reply.logprobs]
    value = {"text": reply.text, "finish_reason": reply.finish_reason, "usage": asdict(reply.usage)}
    return json.dumps({**value, "logprobs": logprobs})


def _decode(stored: str) -> Reply:
    value: dict[str, Any] = json.loads(stored)
    logprobs = tuple(
        TokenLogprob(token, logprob, tuple((text, mass) for text, mass in top))
        for token, logprob, top in value["logprobs"]
    )
    usage = Usage(**{name: number for name, number in value["usage"].items() if name in USAGE_FIELDS})
    return Reply(
        key="",
        text=value["text"],
        finish_reason=value["finish_reason"],
        logprobs=logprobs,
        usage=usage,
        from_cache=True,
    )
