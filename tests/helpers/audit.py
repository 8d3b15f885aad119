"""What a run's prompts show, searched from outside: by the recorded prompts and the run's tables alone."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

# A text of this many tokens and letters that two prompts share is no chance.
RUN, LETTERS = 8, 30
_LINE = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sent:
    """A prompt as a back end got it: its key, and its messages in order."""

    key: str
    messages: tuple[str, ...]

    @property
    def lines(self) -> list[str]:
        """The numbered contexts of the last message, as they stand there."""
        return [found[1] for found in _LINE.findall(self.messages[-1])]

    @property
    def frame(self) -> tuple[str, ...]:
        """All of the prompt but what its numbered contexts say."""
        return (*self.messages[:-1], _LINE.sub(r"[\1]", self.messages[-1]))


def sent(log: Path) -> list[Sent]:
    """Read a recorder's log."""
    rows = map(json.loads, log.read_text().splitlines())
    return [Sent(row["key"], tuple(message["content"] for message in row["messages"])) for row in rows]


def unmarked(text: str) -> str:
    """A context without its marks."""
    return text.replace("<<", "").replace(">>", "")


def bare(text: str) -> str:
    """Text without marks, line breaks (as they are or as prompts write them), white space, case or kind of bracket."""
    text = re.sub(r"\\[nrt]|<<|>>", " ", text).translate(str.maketrans("<>", "‹›"))
    return "".join(text.split()).casefold()


def runs(pieces: Sequence[str]) -> Iterable[str]:
    """Every part of a window of at least `RUN` tokens and `LETTERS` letters, bare."""
    for begin in range(len(pieces) - RUN + 1):
        found = next(
            (
                told
                for end in range(begin + RUN, len(pieces) + 1)
                if len(told := bare("".join(pieces[begin:end]))) >= LETTERS
            ),
            None,
        )
        if found is not None:
            yield found


def shown_in(windows: Iterable[Sequence[str]], prompts: Iterable[str]) -> list[str]:
    """The parts of some windows that stand in some prompts, whatever case, marks and white space."""
    everything = "\0".join(map(bare, prompts))
    return [run for pieces in windows for run in runs(pieces) if run in everything]
