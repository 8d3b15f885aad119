"""Errors that a user can fix, and their exit codes.

    AutointerpError
    ├── UserError (a ValueError)      exit 2: the message says what was seen, what is allowed, what to do
    │   ├── StudyError                a study file, a setting, a command line
    │   ├── CorpusError               text that is missing, empty or too small
    │   ├── SubjectError              a subject model that cannot be loaded or driven
    │   │   └── SiteError             a site that does not exist or did not fire
    │   ├── DictionaryError           a checkpoint that is missing, broken or would be misread
    │   ├── TemplateError             a prompt template that is missing or cannot be rendered
    │   ├── TableError                tables without the columns or properties that a function needs
    │   └── RunDirectoryError         a run directory of another study, or not writable
    ├── NotQualifiedError             exit 3: explainer or judge is below its limit on planted rules
    └── StoppedError                  exit 4: stopped early; finished work is kept, run again to continue
        ├── EngineError               the LLM engine or server is down, or refuses the key
        │   └── UselessRepliesError   it answers, but none of its replies can be used
        └── LimitError                a limit on calls, tokens, money or time was reached

An `OSError` that names a file, and too little memory, end with one line and exit code 2 as well. Anything else that
escapes is a bug in autointerp: it keeps its traceback, and the process ends with 70.
"""

import re

# The password in an address such as http://user:password@host.
_PASSWORD = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]*(?=@)")


def without_password(text: str) -> str:
    """Replace passwords in addresses, so that no message echoes them.

    >>> without_password("http://me:secret@host/v1")
    'http://me:***@host/v1'
    """
    return _PASSWORD.sub(r"\1:***", text)


class AutointerpError(Exception):
    """Base of every error autointerp raises on purpose."""

    exit_code = 2

    def __init__(self, *args: object) -> None:
        super().__init__(*(without_password(one) if isinstance(one, str) else one for one in args))


class UserError(AutointerpError, ValueError):
    """Input that a user can fix; the message is one line."""


class StudyError(UserError):
    """A study file, a setting or a command line is not valid."""


class CorpusError(UserError):
    """The corpus is missing, empty, unreadable or too small."""


class SubjectError(UserError):
    """The subject model cannot be loaded or driven."""


class SiteError(SubjectError):
    """A named site does not exist in the subject, or did not fire."""


class DictionaryError(UserError):
    """A dictionary checkpoint is missing, inconsistent, or would be misread."""


class TemplateError(UserError):
    """A prompt template is missing or cannot be rendered."""


class TableError(UserError):
    """A table lacks columns or breaks a law that a statistic relies on."""


class RunDirectoryError(UserError):
    """A run directory belongs to another study or cannot be written."""


class NotQualifiedError(AutointerpError):
    """Explainer or judge failed on planted rules; no latent was paid for. The message says why and what to do."""

    exit_code = 3


class StoppedError(AutointerpError):
    """Work stopped early; finished work is kept."""

    exit_code = 4


class EngineError(StoppedError):
    """The LLM engine or server is dead, unreachable or refuses the key."""


class UselessRepliesError(EngineError):
    """An LLM answers, but none of its replies can be used."""


class LimitError(StoppedError):
    """A limit set in the study (calls, tokens, money, wall time) was reached."""
