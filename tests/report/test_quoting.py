"""A prompt kept as quotes of the windows is the same prompt again."""

from hypothesis import given
from hypothesis import strategies as st

from autointerp.report._quoting import SHORTEST, Quoted, places, quote
from tests.helpers.runs import HOSTILE


def unquote(quoted: Quoted, base: str) -> str:
    """Put a text together again: what the page's script does."""
    if isinstance(quoted, str):
        return quoted
    return "".join(part if isinstance(part, str) else base[part[0] : part[0] + part[1]] for part in quoted)


@given(st.lists(st.text(alphabet="ab <>\n", min_size=10, max_size=60), max_size=5), st.text(max_size=40), st.data())
def test_quoting_loses_nothing(windows: list[str], rest: str, data: st.DataObject) -> None:
    base = "".join(windows)
    text = rest + "".join(data.draw(st.permutations(windows))) + rest
    assert unquote(quote(text, base, places(base)), base) == text


def test_a_whole_window_is_one_quote_and_double_width_text_is_left_alone() -> None:
    """Places count characters as JavaScript does only in the basic plane; other windows are not quoted from."""
    base = "a window of thirty-odd characters"
    assert quote(f"Example 1: {base}", base, places(base)) == ["Example 1: ", (0, len(base))]
    assert len(base) > SHORTEST
    for text in HOSTILE:
        assert unquote(quote(text, base, places(base)), base) == text
    assert places(base + "\U0001f469") == {}
