"""Rules about letters: words, phrases, affixes, neighbours, the look of characters; each in many wordings."""

import re

from autointerp.judge_training.lexicon import Lexicon, Rng, TrainingRule, any_of, listed, pick, regex

_WORD = re.compile(r"[^\W\d_]{2,}")
BOUNDARY = r"\b"


def word(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """One to three words."""
    some = [lexicon.word(rng) for _ in range(int(rng.choice([1, 1, 1, 2, 3])))]
    wording = listed(rng, some)
    forms = [f"the words {wording}", f"{wording}", f"any of the words {wording}", f"occurrences of {wording}"]
    if len(some) == 1:
        forms = [
            f"the word {wording}",
            f"the word {wording}",
            f"{wording}",
            f"occurrences of {wording}",
            f"the token {wording}",
            f"mentions of {wording}",
            f"the word {some[0]}",
            f"exactly {wording}",
            f"every {wording} in the text",
            f"text in which {wording} occurs",
        ]
    pattern = rf"\b(?:{any_of(some)})\b"
    return TrainingRule(
        kind="word",
        explanation=pick(rng, forms),
        spans=regex(pattern),
        near=re.compile(rf"(?:{any_of([w[:4] for w in some])})", re.IGNORECASE),
    )


def phrase(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """Two or three adjacent words, as in the window."""
    units = [match.span() for match in _WORD.finditer(window)]
    n = 2 if rng.random() < 0.75 else 3
    places = [i for i in range(len(units) - n + 1) if window[units[i][0] : units[i + n - 1][1]].count(" ") == n - 1]
    if not places:
        return None
    i = places[int(rng.integers(len(places)))]
    words = [window[a:b].lower() for a, b in units[i : i + n]]
    if not lexicon.fits(words[0]):
        return None
    phrase = " ".join(words)
    forms = [
        f'the phrase "{phrase}"',
        f'the words "{phrase}"',
        f'"{phrase}"',
        f'the expression "{phrase}"',
        f'"{words[0]}" followed by "{" ".join(words[1:])}"',
    ]
    pattern = r"\s+".join(words)
    return TrainingRule(
        kind="phrase",
        explanation=pick(rng, forms),
        spans=regex(rf"\b{pattern}\b"),
        near=re.compile(rf"\b(?:{words[0]}|{words[-1]})\b", re.IGNORECASE),
    )


def _letters(rng: Rng, lexicon: Lexicon, where: str) -> str:
    while True:
        source = lexicon.word(rng, least=5)
        n = int(rng.integers(2, min(5, len(source) - 1)))
        start = {"prefix": 0, "suffix": len(source) - n}.get(where, int(rng.integers(1, max(2, len(source) - n))))
        letters = source[start : start + n]
        if lexicon.fits(letters):
            return letters


def prefix(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """Words that begin with some letters."""
    letters = _letters(rng, lexicon, "prefix")
    forms = [
        f'a word beginning with "{letters}"',
        f'words that start with "{letters}"',
        f'words starting with the letters "{letters}"',
        f'the prefix "{letters}"',
        f"words with the prefix {letters}-",
        f'words beginning with "{letters}"',
    ]
    return TrainingRule(
        kind="prefix",
        explanation=pick(rng, forms),
        spans=regex(rf"\b{letters}[^\W\d_]+\b"),
        near=re.compile(letters, re.IGNORECASE),
    )


def suffix(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """Words that end with some letters."""
    letters = _letters(rng, lexicon, "suffix")
    forms = [
        f'a word ending in "{letters}"',
        f'words that end in "{letters}"',
        f'words ending with "{letters}"',
        f'the suffix "{letters}"',
        f"words with the ending -{letters}",
        f"words ending in -{letters}",
    ]
    return TrainingRule(
        kind="suffix",
        explanation=pick(rng, forms),
        spans=regex(rf"\b[^\W\d_]+{letters}\b"),
        near=re.compile(letters, re.IGNORECASE),
    )


def inside(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """Words that contain some letters."""
    letters = _letters(rng, lexicon, "inside")
    forms = [
        f'a word containing "{letters}"',
        f'words that contain the letters "{letters}"',
        f'the letters "{letters}" inside a word',
        f'words with "{letters}" in them',
    ]
    return TrainingRule(
        kind="inside",
        explanation=pick(rng, forms),
        spans=regex(rf"\b[^\W\d_]*{letters}[^\W\d_]*\b"),
        near=re.compile(letters[:2], re.IGNORECASE),
    )


def beside(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """The word before or after a word or mark."""
    mark = rng.random() < 0.3
    anchor = pick(rng, list(",.:;()=?!-")) if mark else lexicon.words[int(rng.integers(len(lexicon.words)))]
    if not mark and not lexicon.fits(anchor):
        return None
    escaped = re.escape(anchor) if mark else rf"\b{re.escape(anchor)}\b"
    if rng.random() < 0.5:
        forms = [
            f'any word right after "{anchor}"',
            f'the word that follows "{anchor}"',
            f'words that come directly after "{anchor}"',
            f'the token after "{anchor}"',
        ]
        pattern = rf"(?<={'' if mark else BOUNDARY}{re.escape(anchor)}\s)[^\W\d_]+\b"
    else:
        forms = [
            f'any word right before "{anchor}"',
            f'the word that precedes "{anchor}"',
            f'words directly before "{anchor}"',
            f'the token before "{anchor}"',
        ]
        pattern = rf"\b[^\W\d_]+(?=\s?{re.escape(anchor)})" if mark else rf"\b[^\W\d_]+(?=\s{re.escape(anchor)}\b)"
    return TrainingRule(
        kind="beside", explanation=pick(rng, forms), spans=regex(pattern), near=re.compile(escaped, re.IGNORECASE)
    )


_LOOKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("numbers written in digits", "digits", "a number", "numerals", "figures such as 12 or 1999"), r"\d+"),
    (
        ("words in capitals", "words in all capital letters", "a word in capitals", "acronyms and words in upper case"),
        r"(?-i:\b[A-Z]{2,}\b)",
    ),
    (
        ("a capitalised word", "words with a capital letter", "capitalised words", "names and other capitalised words"),
        r"(?-i:\b[A-Z][a-z]+\b)",
    ),
    (("a line break", "line breaks", "the end of a line", "newlines"), r"\n"),
    (("names with an underscore", 'words joined by "_"', "snake case identifiers"), r"\b\w*_\w+\b"),
    (("four-digit years", "years such as 1984", "numbers of four digits"), r"\b\d{4}\b"),
    (("words in quotation marks", "quoted words", "text inside quotes"), r"(?<=[\"'`])\b[^\W\d_]+(?=[\"'`])"),
)


def look(rng: Rng, lexicon: Lexicon, window: str) -> TrainingRule | None:
    """What characters look like, or a punctuation mark."""
    if rng.random() < 0.5:
        mark, name = [
            (",", "commas"),
            (".", "full stops"),
            ("?", "question marks"),
            ("(", "opening brackets"),
            (")", "closing brackets"),
            (":", "colons"),
            (";", "semicolons"),
            ('"', "quotation marks"),
            ("=", "equals signs"),
            ("-", "hyphens"),
            ("[", "square brackets"),
            ("'", "apostrophes"),
            ("/", "slashes"),
            ("*", "asterisks"),
        ][int(rng.integers(14))]
        said = "'\"'" if mark == '"' else f'"{mark}"'
        wording = pick(rng, [name, f"{name}: {said}", f"the character {said}", f"{said}"])
        return TrainingRule(kind="look", explanation=wording, spans=regex(re.escape(mark)))
    wordings, pattern = _LOOKS[int(rng.integers(len(_LOOKS)))]
    return TrainingRule(kind="look", explanation=pick(rng, wordings), spans=regex(pattern))
