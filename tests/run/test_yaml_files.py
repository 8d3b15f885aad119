"""Settings mean what they look like, come back as written, and cannot exhaust the machine."""

import math

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autointerp.run import yaml_files

PLAIN = """
octal: 010
clock: 190:20:30
small: 1e-3
word: yes
truth: true
day: 2024-01-01
hex: 0x1F
grouped: 1_000
nothing:
"""
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(12)
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcyn01:-e.", max_size=6), inner)
)


def test_numbers_and_words_are_read_as_they_look() -> None:
    """PyYAML makes 8 of 010, 685230 of 190:20:30, text of 1e-3, true of yes, a date object of a date."""
    assert yaml_files.load(PLAIN) == {
        "octal": "010",
        "clock": "190:20:30",
        "small": 0.001,
        "word": "yes",
        "truth": True,
        "day": "2024-01-01",
        "hex": 31,
        "grouped": 1000,
        "nothing": None,
    }
    assert yaml.safe_load(PLAIN)["clock"] == 685230


@settings(deadline=None, max_examples=60)
@given(VALUES)
@example("\x85")
@example({"a\u2028b": ["\u2029", "x\x85\ny", "\ufeff", "\r", " \n a"]})
def test_what_is_written_is_read_back(value: object) -> None:
    """Also text that looks like a number, a truth value or a date."""
    assert yaml_files.load(yaml_files.dump({"value": value})) == {"value": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "aliases expand it"),
        ("&a [*a]", "aliases expand it"),
        ("a: 1\nb: {c: 1, c: 2}", "key 'c' occurs twice"),
        ("{a: " * 2000 + "}" * 2000, "nested deeper"),
        ("[" * 100_000, "nested deeper"),
        ("x" * 1_000_001, "at most"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("? [a]: b\n? [a]: c", "unhashable"),
        ("a: " + "9" * 5000, "int"),
        ("a: [", "expected"),
        ("a: !!binary x===", "base64"),
    ],
)
def test_what_breaks_a_rule_is_one_short_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        yaml_files.load(text)
    assert len(str(raised.value)) < 500
    assert "\n" not in str(raised.value)


def test_long_values_are_cut_before_they_are_written() -> None:
    """A list that aliases repeat 9 ** 12 times has a short representation in no time."""
    value: list[object] = ["x"] * 9
    for _ in range(12):
        value = [value] * 9
    assert len(yaml_files.short(value)) < 300
    assert len(yaml_files.short({"a" * 10**6: "b" * 10**6})) < 300
    assert yaml_files.short(math.pi) == repr(math.pi)
