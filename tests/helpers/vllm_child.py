"""vLLM in a process of its own, whose Python has it: pickled requests in, pickled replies out.

python -m tests.helpers.vllm_child MODEL REQUESTS REPLIES
"""

import pickle
import sys
from contextlib import closing
from pathlib import Path

from autointerp.llm import vllm


def main(model: str, asked: Path, replied: Path) -> None:
    """Answer all requests; write (replies, facts, token count of the first prompt)."""
    requests = pickle.loads(asked.read_bytes())
    config = vllm.Config(model=model, dtype="float32", max_model_len=4096, engine={"enforce_eager": True})
    with closing(vllm.open(config)) as llm:
        replies = list(llm.generate(requests))
        replied.write_bytes(pickle.dumps((replies, llm.facts(), llm.count_tokens(requests[0]))))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
