"""Prompts repeat the example windows: a prompt is stored as quotes of them plus the text that it adds.

The page's scripts put it together again (`quoted` in latent.js), character by character the same.
"""

# A quote shorter than this costs more than the text; also the length of the keys that quotes are looked up by.
SHORTEST = 16
Quoted = str | list[str | tuple[int, int]]


def places(base: str) -> dict[str, int]:
    """First position of every run of `SHORTEST` characters in the quoted text.

    Empty if the text has characters that JavaScript counts as two, since positions would differ.
    """
    if any(ord(char) > 0xFFFF for char in base):
        return {}
    found: dict[str, int] = {}
    for at in range(len(base) - SHORTEST, -1, -1):
        found[base[at : at + SHORTEST]] = at
    return found


def quote(text: str, base: str, found: dict[str, int]) -> Quoted:
    """Write a text as literal strings and (start, length) quotes of the base, or as itself where it quotes nothing.

    >>> base = "the cat sat on the mat in the sun"
    >>> quote("Look: the cat sat on the mat!", base, places(base))
    ['Look: ', (0, 22), '!']
    """
    parts: list[str | tuple[int, int]] = []
    begun = at = 0
    while at + SHORTEST <= len(text):
        start = found.get(text[at : at + SHORTEST])
        if start is None:
            at += 1
            continue
        n = SHORTEST
        while at + n < len(text) and start + n < len(base) and text[at + n] == base[start + n]:
            n += 1
        if begun < at:
            parts.append(text[begun:at])
        parts.append((start, n))
        at += n
        begun = at
    if not parts:
        return text
    return [*parts, text[begun:]] if begun < len(text) else parts
