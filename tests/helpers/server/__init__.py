"""A scripted OpenAI-compatible server on loopback that misbehaves by seed, in a thread or as a process of its own.

    with Server(answer) as server:                     # answer(body) -> text of the reply
        server.url                                     # http://127.0.0.1:PORT/v1
        server.log                                     # one Call per POST, as a proxy would see it
    with Server(answer, faults=Faults(seed=1, rate=0.2)) as server: ...

    python -m tests.helpers.server --port 8123 --latency 0.05      # answers every yes/no question by its own text

A fault depends on the seed, the prompt and how often that prompt was asked, never on the order of arrival.
"""

from tests.helpers.server.faults import CONTENT as CONTENT
from tests.helpers.server.faults import FORMS as FORMS
from tests.helpers.server.faults import TRANSPORT as TRANSPORT
from tests.helpers.server.faults import Faults as Faults
from tests.helpers.server.serving import Call as Call
from tests.helpers.server.serving import Model as Model
from tests.helpers.server.serving import Server as Server
from tests.helpers.server.serving import scripted as scripted
from tests.helpers.server.wire import Answer as Answer
from tests.helpers.server.words import chance as chance
from tests.helpers.server.words import even as even
