# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""The requests of Open WebUI with ENABLE_FORWARD_USER_INFO_HEADERS: not the program itself."""

from __future__ import annotations

import json
import os
import urllib.request
import uuid

TITLE = """### Task:
Generate a concise, 3-5 word title with an emoji summarizing the chat history.
### Chat History:
<chat_history>
USER: Which locker is mine?
</chat_history>"""


def post(chat: str, messages: list[dict[str, str]], *, stream: bool = True) -> str:
    """Send a request of a chat; returns the text of the answer."""
    user = os.environ["CLIENT_USER"]
    headers = {
        "Content-Type": "application/json",
        "Authorization": "Bearer none",
        "X-OpenWebUI-User-Name": "Ann",
        "X-OpenWebUI-User-Id": user,
        "X-OpenWebUI-User-Email": f"{user}@example.org",
        "X-OpenWebUI-User-Role": "user",
        "X-OpenWebUI-Chat-Id": chat,
        "X-OpenWebUI-Message-Id": str(uuid.uuid4()),
    }
    body = {"model": "m", "stream": stream, "messages": messages}
    request = urllib.request.Request(
        f"{os.environ['CLIENT_ADDRESS']}/v1/chat/completions", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request) as response:
        content = response.read().decode()
    if not stream:
        return str(json.loads(content)["choices"][0]["message"]["content"])
    events = [line[6:] for line in content.splitlines() if line.startswith("data: {")]
    choices = [choice for event in events for choice in json.loads(event)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def main() -> None:
    """Print the answers by capability; the second chat is another one of the same user."""
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    post(first, [{"role": "user", "content": "My locker at the gym is number 8314."}])
    post(first, [{"role": "user", "content": TITLE}], stream=False)
    question = {"role": "user", "content": "Which locker is mine?"}
    text = post(second, [question])
    again = [question, {"role": "assistant", "content": text}, question]
    results = {"remembers": text, "streams": post(second, again)}
    print(json.dumps(results))


main()
