"""A stand-in for an upstream: a server of `/v1/chat/completions` on a real socket.

It answers each request with the next behaviour that `then` has queued, otherwise with `answer` (an
echo). It refuses what strict chat templates refuse. Its other modes are attributes of `Upstream`:
a context window with the refusal of a family of servers, a window that cuts silently, contents
that must be strings, fields that must come back. It records all requests.

`python -m tests.support.upstream [PORT]` serves it as a process.
"""

from tests.support.upstream.behaviours import (
    ECHO,
    but,
    calls,
    echo,
    fails,
    paced,
    raw,
    says,
    speaks,
    thinks,
)
from tests.support.upstream.prompts import (
    MESSAGE_TOKENS,
    count_tokens,
    template_problem,
    text_of,
)
from tests.support.upstream.refusals import REFUSALS, too_long
from tests.support.upstream.replies import Behaviour, Body, Message, Reply
from tests.support.upstream.server import (
    MODELS,
    Received,
    Upstream,
    running_upstream,
    serving,
)

__all__ = [
    "ECHO",
    "MESSAGE_TOKENS",
    "MODELS",
    "REFUSALS",
    "Behaviour",
    "Body",
    "Message",
    "Received",
    "Reply",
    "Upstream",
    "but",
    "calls",
    "count_tokens",
    "echo",
    "fails",
    "paced",
    "raw",
    "running_upstream",
    "says",
    "serving",
    "speaks",
    "template_problem",
    "text_of",
    "thinks",
    "too_long",
]
