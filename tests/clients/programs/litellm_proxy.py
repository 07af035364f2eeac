# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["litellm[proxy]>=1.108,<1.110", "openai>=2"]
# ///
"""LiteLLM's proxy in front of the gateway, and behind it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import openai

KEY = "sk-made-up-for-the-proxy"

CONFIGURATION = """
model_list:
  - model_name: remembering
    litellm_params: {{model: openai/m, api_base: "{base_url}", api_key: none}}
litellm_settings: {{telemetry: false}}
general_settings: {{forward_client_headers_to_llm_api: true}}
"""


@contextmanager
def running(command: Sequence[str], port: int, environment: Mapping[str, str]) -> Iterator[str]:
    """Run a server on a port of loopback; yields its base URL."""
    log_path = Path(f"server-{port}.log")
    with (
        log_path.open("wb") as log,
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            while not is_open(port):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                    raise RuntimeError(log_path.read_text())
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def is_open(port: int) -> bool:
    """Return whether a server listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def proxy(base_url: str) -> Any:
    """Run the proxy in front of a server."""
    path = Path(f"litellm-{base_url.rpartition(':')[2].partition('/')[0]}.yaml")
    path.write_text(CONFIGURATION.format(base_url=base_url))
    program = "from litellm import run_server; run_server()"
    command = [sys.executable, "-c", program, "--config", str(path)]
    return running(command, free_port(), {"LITELLM_MASTER_KEY": KEY})


def service(base_url: str) -> Any:
    """Run a service of its own in front of a model server."""
    command = [os.environ["CLIENT_PYTHON"], "-m", "memory_service", "serve", "--data-dir", "data"]
    environment = {"MEMORY_UPSTREAM_BASE_URL": base_url, "MEMORY_UPSTREAM_API_KEY": KEY}
    return running(command, free_port(), environment)


def talk(base_url: str, suffix: str) -> dict[str, str]:
    """Return the answers by capability; the proxy forwards headers that begin with `x-`."""
    headers = {"x-conversation-id": os.environ["CLIENT_CONVERSATION"]}
    client = openai.OpenAI(base_url=base_url, api_key=KEY, default_headers=headers)

    def ask(text: str, **fields: Any) -> Any:
        return client.chat.completions.create(
            model="remembering",
            messages=[{"role": "user", "content": text}],
            **fields,
        )

    ask("My locker at the gym is number 8314.")
    chunks = ask("And once more: which locker is mine?", stream=True)
    return {
        f"remembers{suffix}": ask("Which locker is mine?").choices[0].message.content,
        f"streams{suffix}": "".join(
            chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices
        ),
    }


def main() -> None:
    """Print the answers with the proxy before and behind the gateway."""
    with proxy(f"{os.environ['CLIENT_ADDRESS']}/v1") as base_url:
        results = talk(base_url, "")
    with proxy(os.environ["CLIENT_UPSTREAM"]) as upstream, service(upstream) as base_url:
        results |= talk(base_url, " (behind)")
    print(json.dumps(results))


main()
