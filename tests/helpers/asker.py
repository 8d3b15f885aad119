"""A run in small: questions to a server through a store, results to a file; made to be killed.

python -m tests.helpers.asker URL STORE N_QUESTIONS OUT
"""

import json
import sys
from contextlib import closing
from pathlib import Path

from autointerp.asking import ask
from autointerp.asking.budget import StageUsage
from autointerp.llm import openai
from tests.helpers import asking


def main(url: str, store: str, n: int, out: str) -> None:
    """Ask questions 0..n-1; write answers by question and position, sorted."""
    config = openai.Config(base_url=url, concurrency=16)
    usage, answers = StageUsage(), {}
    with closing(ask.connect(openai.open(config), store=Path(store))) as llm:
        questions = (asking.question(number, top=5) for number in range(n))
        for told in ask.judgements(
            {"yes_no": asking.YesNo()}, llm, questions, config=ask.AskConfig(attempts=6), usage=usage
        ):
            judged = [[one.answer, one.probability, one.status] for one in told.judgements]
            answers[told.question.question_id] = [judged, told.row.reply, told.row.tokens_in, told.row.tokens_out]
    Path(out).write_text(json.dumps({"answers": answers, "usage": usage.manifest()}, sort_keys=True))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
