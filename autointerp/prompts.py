"""Prompts: find a template, render it to chat messages, hash it, and make corpus text safe to show.

A template is one Jinja file per prompt, `prompts/<family>/<name>.jinja`, consisting of role blocks:

    {% call system() %} ... {% endcall %}
    {% call user() %} ... {% endcall %}
    {% call assistant() %} ... {% endcall %}

Text outside the blocks must be white space. Templates run in Jinja's sandbox with StrictUndefined, so a user's own
template can neither reach Python nor use a value that does not exist.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from autointerp.errors import TemplateError
from autointerp.records import Message
from autointerp.text import one_line as one_line

SHIPPED = Path(__file__).parent / "_prompts"  # in an installed wheel
CHECKOUT = Path(__file__).parent.parent / "prompts"  # in a checkout or an editable install

# Marks around the tokens a judge or explainer should look at; `plain` keeps them out of corpus text.
OPEN, CLOSE = "<<", ">>"
# `<` and `>` make up our marks, chat templates' special tokens (<|im_end|>, </s>) and HTML; their look-alikes do not.
_ANGLES = str.maketrans({"<": "‹", ">": "›"})
# Control words of chat formats that use square brackets (Llama 2, Mistral).
_BRACKETED = re.compile(r"\[(?=/?(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT)\b)")


def plain(text: str) -> str:
    """Return corpus text of the same length in which no mark, special token or lone surrogate can occur.

    >>> plain("a<<b>> <|im_end|>")
    'a‹‹b›› ‹|im_end|›'
    """
    text = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)
    return _BRACKETED.sub("⁅", text.translate(_ANGLES))


def context(text: str, marks: Iterable[tuple[int, int]] = ()) -> str:
    """Write a context as one safe line, `marks` (character spans, ascending, disjoint) wrapped in << and >>.

    >>> context("the cat sat", [(4, 7)])
    'the <<cat>> sat'
    """
    safe, parts, end = plain(text), [], 0
    for begin, stop in marks:
        parts += [one_line(safe[end:begin]), OPEN, one_line(safe[begin:stop]), CLOSE]
        end = stop
    return "".join((*parts, one_line(safe[end:])))


class Prompts:
    """The templates of one study: those of a user's folder first, then the project's own.

    Raises:
        TemplateError: the folder does not exist, or the shipped templates are missing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise TemplateError(f"prompts: folder {str(folder)!r} does not exist; give a folder of templates or none")
        own = next((place for place in (SHIPPED, CHECKOUT) if place.is_dir()), None)
        if own is None:
            raise TemplateError(f"prompts: neither {SHIPPED} nor {CHECKOUT} exists; install autointerp again")
        self._own = own
        self._environment = ImmutableSandboxedEnvironment(
            loader=jinja2.FileSystemLoader([place for place in (folder, own) if place is not None]),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
            autoescape=False,  # prompts are not HTML; `plain` and `one_line` make text safe
        )

    def names(self) -> list[str]:
        """List the templates, such as `scorers/detection`."""
        return sorted(name.removesuffix(".jinja") for name in self._environment.list_templates(["jinja"]))

    def render(self, name: str, **values: object) -> tuple[Message, ...]:
        """Render the template `<family>/<name>` to chat messages.

        Raises:
            TemplateError: it does not exist, uses an unknown value, has an error, or text outside its role blocks.
        """
        messages: list[Message] = []
        roles = {role: _Role(role, messages) for role in ("system", "user", "assistant")}
        try:
            rest = self._environment.get_template(f"{name}.jinja").render(**values, **roles)
        except jinja2.TemplateNotFound as error:
            raise TemplateError(f"prompts: no template {error}; use one of: {', '.join(self.names())}") from error
        except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, LookupError, RecursionError) as error:
            raise TemplateError(f"prompts: template {name}.jinja: {' '.join(str(error).split())}") from error
        if rest.strip():
            raise TemplateError(
                f"prompts: template {name}.jinja has text outside its role blocks: {rest.strip()[:60]!r}"
            )
        return tuple(messages)

    def hash(self, name: str) -> str:
        """Return the SHA-256 of a template's source and of every template it includes.

        Raises:
            TemplateError: one of them does not exist.
        """
        digest = hashlib.sha256()
        for part in sorted(self._with_included(f"{name}.jinja", set())):
            digest.update(f"{part}\0{self._source(part)}\0".encode())
        return digest.hexdigest()

    def _with_included(self, file: str, seen: set[str]) -> set[str]:
        if file not in seen:
            seen.add(file)
            for other in meta.find_referenced_templates(self._environment.parse(self._source(file))):
                if other is not None:
                    self._with_included(other, seen)
        return seen

    @cache  # noqa: B019  one Prompts lives as long as its study
    def _source(self, file: str) -> str:
        assert self._environment.loader is not None
        try:
            return self._environment.loader.get_source(self._environment, file)[0]
        except jinja2.TemplateNotFound as error:
            raise TemplateError(f"prompts: no template {file}; use one of: {', '.join(self.names())}") from error


class _Role:
    """Target of `{% call user() %}`: appends the block's text as one message and renders to nothing."""

    def __init__(self, role: str, messages: list[Message]) -> None:
        self._role, self._messages = role, messages

    def __call__(self, *, caller: "jinja2.runtime.Macro") -> str:
        self._messages.append(Message(self._role, str(caller()).strip("\n")))  # pyright: ignore[reportArgumentType]
        return ""
