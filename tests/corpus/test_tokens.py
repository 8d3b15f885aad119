"""Every token is stored once, windows lie inside documents, and a store depends on nothing but text and settings."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp import corpus
from autointerp.corpus._layout import Layout
from autointerp.corpus._tokens import TokenStore
from autointerp.corpus.base import Document, WindowsConfig
from autointerp.errors import CorpusError, RunDirectoryError
from tests.helpers import tiny
from tests.helpers.shared import STORIES, needs_shared

TEXTS = ["the cat sat on the mat. " * 7, "a dog ran after the café 😀 " * 3, "", "x", "the mat " * 40, "dog cat " * 9]


def store(folder: Path, texts: list[str] | None = None, start: str | None = "<s>", **changes: object) -> TokenStore:
    config = WindowsConfig.model_validate({"context_length": 16, "window_length": 4, **changes})
    documents = (Document(number, text) for number, text in enumerate(TEXTS if texts is None else texts))
    return corpus.read(documents, tiny.tokenizer(start), config, folder, seed=1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=12), st.integers(2, 20), st.booleans(), st.booleans())
def test_layout_covers_every_token_once(lengths: list[int], context: int, packed: bool, separated: bool) -> None:
    """Segments join without gaps, none crosses a document, no context has more slots than it may."""
    layout = Layout(context, packed=packed, separated=separated)
    for document, n in enumerate(lengths):
        layout.add(document, n)
    segments = layout.segments()
    sizes = np.diff(segments.starts)
    assert layout.n_tokens == sum(lengths) == segments.starts[-1]
    np.testing.assert_array_equal(np.repeat(segments.documents, sizes), np.repeat(np.arange(len(lengths)), lengths))
    slots = np.bincount(segments.contexts, sizes + separated) - separated  # the context's own BOS comes on top
    assert (slots <= context).all()
    starts, segment = segments.window_starts(3)
    assert (starts >= segments.starts[segment]).all()
    assert (starts + 3 <= segments.starts[segment + 1]).all()
    assert len(starts) == (sizes // 3).sum()
    if packed:  # a context is left with room only for what could not go in: a BOS with no token behind it
        assert (slots[:-1] >= context - separated).all()


def test_pieces_join_to_the_text(tmp_path: Path) -> None:
    """A document's pieces join to it, although tokens split the bytes of é and 😀."""
    windows = store(tmp_path, window_length=1).windows()
    for number, text in enumerate(TEXTS):
        ids = tiny.tokenizer()(text, add_special_tokens=False)["input_ids"]
        assert "".join(windows.decode(np.array(ids, dtype=np.int64))) == text, number


@needs_shared
def test_pieces_of_a_sentencepiece_vocabulary_join_to_the_text() -> None:
    """Llama's spelling: a space is ▁, unknown characters are bytes."""
    from transformers import AutoTokenizer

    from autointerp.corpus._pieces import decoder

    real = AutoTokenizer.from_pretrained(STORIES)
    text = "Once upon a time, 日本 😀\nthere was   a <s> café."
    ids = real(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    pieces = decoder(real)(np.array(ids))
    assert len(pieces) == len(ids)
    assert "".join(pieces) == " " + text  # the tokenizer itself puts the space before


def test_a_character_cut_by_the_window_s_end_is_marked() -> None:
    """Of é's two bytes only the first is in the window."""
    from autointerp.corpus._pieces import decoder

    ids = tiny.tokenizer()("é", add_special_tokens=False)["input_ids"]
    assert decoder(tiny.tokenizer())(np.array(ids[:1])) == ("\ufffd",)
    assert decoder(tiny.tokenizer())(np.array(ids)) == ("", "é")


@pytest.mark.parametrize("packing", ["documents", "packed"])
def test_shards_are_the_corpus_in_pieces(tmp_path: Path, packing: str) -> None:
    """Shards of any size hold the same tokens and windows, each once, as the whole store."""
    whole = store(tmp_path, packing=packing)
    windows = whole.windows()
    parts, number = [], 0
    while (part := whole.shard(number, 48)) is not None:
        parts.append(part)
        number += 1
    assert len(parts) > 3
    np.testing.assert_array_equal(np.concatenate([part.tokens for part in parts]), windows.tokens)
    np.testing.assert_array_equal(np.concatenate([part.window_starts for part in parts]), windows.starts)
    np.testing.assert_array_equal(np.concatenate([part.window_held_out for part in parts]), windows.held_out)
    assert [part.offset for part in parts] == [int(part.segment_starts[0]) for part in parts]


def test_a_finished_store_is_taken_up_again_and_another_is_not(tmp_path: Path) -> None:
    """The same settings read nothing again; other settings give another fingerprint."""
    first = store(tmp_path)
    windows = first.windows()

    def refuse():
        raise AssertionError("read again")
        yield

    config = WindowsConfig(context_length=16, window_length=4)
    again = corpus.read(refuse(), tiny.tokenizer(), config, tmp_path, seed=1)
    assert again.windows().fingerprint == windows.fingerprint
    np.testing.assert_array_equal(again.windows().held_out, windows.held_out)
    assert store(tmp_path, window_length=5).windows().fingerprint != windows.fingerprint


def test_counts_add_up(tmp_path: Path) -> None:
    counts = store(tmp_path).counts()
    assert counts["documents"] == len(TEXTS)
    assert counts["empty_documents"] == 1
    assert counts["tokens"] == counts["windows"] * 4 + counts["tokens_outside_windows"]


def test_reading_stops_with_the_document_that_reaches_the_limit(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    first = len(tokenizer(TEXTS[0], add_special_tokens=False)["input_ids"])
    assert store(tmp_path / "a", n_tokens=first).counts()["documents"] == 1
    assert store(tmp_path / "b", n_tokens=first + 1).counts()["documents"] == 2


def test_text_that_looks_like_a_special_token_stays_text(tmp_path: Path) -> None:
    """A document cannot forge the BOS."""
    texts = ["the cat <s> sat on the mat " * 5] * 10
    assert (store(tmp_path, texts).windows().tokens != tiny.tokenizer().bos_token_id).all()


@pytest.mark.parametrize(
    "texts, start, changes, message",
    [
        (TEXTS, None, {}, "no BOS token; set windows.bos to `none`"),
        (TEXTS, "<s>", {"bos": "<nope>"}, "'<nope>' is not a token"),
        (["", " "], "<s>", {"window_length": 16}, "held-out and 0 explain windows"),
        ([], "<s>", {}, "no document with any text"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(
    tmp_path: Path, texts: list[str], start: str | None, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        store(tmp_path, texts, start, **changes).windows()
    assert "\n" not in str(caught.value)


def test_a_corpus_of_one_document_is_refused_before_its_first_shard_is_collected(tmp_path: Path) -> None:
    """Its windows are of one split; who needs none of the other may still read it."""
    config = WindowsConfig(context_length=16, window_length=4)
    documents, tokenizer = [Document(0, TEXTS[0])], tiny.tokenizer()
    refused = corpus.read(documents, tokenizer, config, tmp_path / "a", seed=1, both_splits=True)
    with pytest.raises(CorpusError, match=r"1 documents .* both are needed: give more or longer documents"):
        refused.shard(0, 2**18)
    assert corpus.read(documents, tokenizer, config, tmp_path / "b", seed=1).shard(0, 2**18) is not None


def test_an_error_while_reading_reaches_who_waits(tmp_path: Path) -> None:
    def documents():
        yield Document(0, "the cat")
        raise CorpusError("the disk is gone")

    broken = corpus.read(documents(), tiny.tokenizer(), WindowsConfig(), tmp_path, seed=1)
    with pytest.raises(CorpusError, match="the disk is gone"):
        broken.shard(0, 2**18)


def test_a_second_writer_is_rejected_and_destroys_nothing(tmp_path: Path) -> None:
    """Another process that opens a store while it is written gets one line; the first one ends as if alone."""
    texts = TEXTS * 40
    first = store(tmp_path / "a", texts)
    assert first.shard(0, 48) is not None
    with pytest.raises(RunDirectoryError, match="another process is writing"):
        store(tmp_path / "a", texts).shard(0, 48)
    alone = store(tmp_path / "b", texts)
    np.testing.assert_array_equal(first.windows().tokens, alone.windows().tokens)
    assert first.fingerprint == alone.fingerprint
    assert store(tmp_path / "a", texts).windows().fingerprint == alone.fingerprint


def test_a_store_of_other_settings_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    """Opening with other settings and stopping half-way leaves the finished store usable."""
    texts = TEXTS * 40
    whole = store(tmp_path, texts).windows().fingerprint
    store(tmp_path, texts, window_length=5).shard(0, 48)

    def refuse():
        raise AssertionError("read again")
        yield

    config = WindowsConfig(context_length=16, window_length=4)
    assert corpus.read(refuse(), tiny.tokenizer(), config, tmp_path, seed=1).windows().fingerprint == whole


def test_a_long_document_is_read_in_parts_up_to_a_tenth_of_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts join to the same tokens as the whole; what the limit cuts off is counted."""
    text = "the cat sat on the mat and a dog ran after it " * 3000
    whole = tiny.tokenizer()(text, add_special_tokens=False)["input_ids"]
    monkeypatch.setattr("autointerp.corpus._encode.BATCH_CHARACTERS", 1000)
    found = store(tmp_path / "a", [text, *TEXTS], n_tokens=10**7)
    assert found.windows().tokens[: len(whole)].tolist() == whole
    assert found.counts()["cut_documents"] == 0
    cut = store(tmp_path / "b", [text, *TEXTS], n_tokens=20_000)
    counts = cut.counts()
    assert len(whole) > 4096
    assert cut.windows().tokens[:4096].tolist() == whole[:4096]
    assert counts["documents"] == 1 + len(TEXTS)
    assert counts["cut_documents"] == 1
    kept = "".join(cut.decode(np.array(whole[:4096])))
    assert counts["cut_characters"] == len(text) - len(kept)
    assert store(tmp_path / "b", [text, *TEXTS], n_tokens=20_000).counts() == counts
