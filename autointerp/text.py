"""Text made safe to store and to print."""

import unicodedata


def mend_surrogates(text: str) -> str:
    """Replace lone halves of UTF-16 pairs, which JSON can hold and neither files nor tokenizers take, by U+FFFD.

    >>> mend_surrogates("a\\ud83d"), mend_surrogates("a\\ud83d\\ude00")
    ('a\ufffd', 'a😀')
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def one_line(text: str) -> str:
    r"""Return text with line breaks, control and invisible direction characters written as escapes.

    >>> one_line("two\nlines")
    'two\\nlines'
    """
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if character == " " or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}:
        return character
    return character.encode("unicode_escape", "backslashreplace").decode()
