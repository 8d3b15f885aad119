"""Real models, texts and dictionaries beside the checkout; tests that need them are skipped where they are absent."""

from pathlib import Path

import pytest

SHARED = (Path(__file__).parents[2] / "../shared/data").resolve()
STORIES = SHARED / "stories260K"

needs_shared = pytest.mark.skipif(not STORIES.is_dir(), reason="the real model and texts (../shared/data) are absent")
