"""Split documents between <|endoftext|> in two: `python split.py TEXT OUT` writes OUT/train.txt and OUT/held_out.txt.

Every other document is held out: the dictionaries never see it, and it alone is scored and measured on.
"""

import sys
from pathlib import Path

SEPARATOR = "<|endoftext|>"

text, out = Path(sys.argv[1]), Path(sys.argv[2])
documents = [one.strip() for one in text.read_text(encoding="utf-8").split(SEPARATOR) if one.strip()]
out.mkdir(parents=True, exist_ok=True)
for name, first in (("train", 0), ("held_out", 1)):
    (out / f"{name}.txt").write_text(SEPARATOR.join(documents[first::2]), encoding="utf-8")
