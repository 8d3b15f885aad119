"""No code without a caller: functions, methods and classes of the package that nothing in the package uses.

Fields are columns of tables or keys of files, and are not checked. A caller in tests is none; neither is a re-export.
"""

from pathlib import Path

from vulture import Vulture

PACKAGE = Path(__file__).parent.parent / "autointerp"
# Called by a protocol of Python or of a library, or public by intent.
CALLED_FROM_OUTSIDE = {
    "readinto",  # io.RawIOBase
    "same_length",  # a pydantic validator
    "forward",
    "backward",  # torch.autograd.Function
    "score",
    "compare",
    "open_run",
    "brief",  # the package's Python face
    "log_message",  # http.server
    "ExportModule",  # what a file of report/exports must have
}
# Used by tests alone; remove an entry with its code.
KNOWN = {"encode_dense", "decode_dense"}


def test_every_function_and_class_has_a_caller() -> None:
    finder = Vulture()
    finder.scavenge([str(PACKAGE)])
    kinds = {"function", "method", "class", "property"}
    dead = {item.name: str(item.filename) for item in finder.get_unused_code(min_confidence=60) if item.typ in kinds}
    dead = {name: file for name, file in dead.items() if not name.startswith("_")}
    assert {name: file for name, file in dead.items() if name not in CALLED_FROM_OUTSIDE | KNOWN} == {}
