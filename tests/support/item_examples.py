"""Examples of every item type and of chat messages, with the role and the text of each."""

from __future__ import annotations

from typing import Any

from tests.support.factories import (
    chat_calls,
    chat_output,
    function_call,
    function_output,
    message,
)

OUTCOME = {"type": "exit", "exit_code": 0}


WEATHER = '{"city":"Oslo"}'


# (an item as a client sends it, with no more than it must hold; its role; its text)
ITEMS: list[tuple[dict[str, Any], str, str]] = [
    (message("hi", type="message"), "user", "hi"),
    (function_call(), "assistant", f"look_up\n{WEATHER}"),
    (function_output(), "tool", "4 degrees"),
    (
        function_output(
            output=[
                {"type": "input_text", "text": "4"},
                {"type": "input_image", "file_id": "file_1", "detail": "low"},
            ]
        ),
        "tool",
        "4",
    ),
    (
        {"type": "custom_tool_call", "call_id": "c", "name": "run", "input": "ls -l"},
        "assistant",
        "run\nls -l",
    ),
    ({"type": "custom_tool_call_output", "call_id": "c", "output": "a b"}, "tool", "a b"),
    (
        {"type": "file_search_call", "queries": ["one", "two"], "status": "completed"},
        "assistant",
        "one\ntwo",
    ),
    (
        {
            "type": "web_search_call",
            "status": "completed",
            "action": {"type": "search", "query": "rain", "queries": ["rain", "snow"]},
        },
        "assistant",
        "rain\nrain\nsnow",
    ),
    (
        {"type": "image_generation_call", "status": "completed", "revised_prompt": "a cat"},
        "assistant",
        "a cat",
    ),
    (
        {
            "type": "computer_call",
            "call_id": "c",
            "status": "completed",
            "pending_safety_checks": [],
            "action": {"type": "screenshot"},
        },
        "assistant",
        "",
    ),
    (
        {
            "type": "computer_call_output",
            "call_id": "c",
            "output": {"type": "computer_screenshot", "file_id": "file_1"},
        },
        "tool",
        "",
    ),
    ({"type": "tool_search_call", "arguments": {}, "execution": "client"}, "assistant", ""),
    ({"type": "tool_search_output", "tools": [], "execution": "client"}, "tool", ""),
    ({"type": "additional_tools", "role": "developer", "tools": []}, "assistant", ""),
    ({"type": "configuration_update", "reasoning": {"effort": "low"}}, "assistant", ""),
    (
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "It rains."}]},
        "assistant",
        "It rains.",
    ),
    (
        {"type": "program", "call_id": "c", "code": "run()", "fingerprint": "f"},
        "assistant",
        "run()",
    ),
    (
        {"type": "program_output", "call_id": "c", "result": "done", "status": "completed"},
        "tool",
        "done",
    ),
    ({"type": "compaction", "encrypted_content": "x9"}, "assistant", ""),
    (
        {
            "type": "code_interpreter_call",
            "container_id": "c",
            "status": "completed",
            "code": "1+1",
            "outputs": [{"type": "logs", "logs": "2"}, {"type": "image", "url": "u"}],
        },
        "assistant",
        "1+1\n2",
    ),
    (
        {
            "type": "local_shell_call",
            "call_id": "c",
            "status": "completed",
            "action": {"type": "exec", "command": ["ls", "-l"], "env": {}},
        },
        "assistant",
        "ls\n-l",
    ),
    ({"type": "local_shell_call_output", "output": "a"}, "tool", "a"),
    (
        {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls", "pwd"]}},
        "assistant",
        "ls\npwd",
    ),
    (
        {
            "type": "shell_call_output",
            "call_id": "c",
            "output": [{"stdout": "out", "stderr": "err", "outcome": OUTCOME}],
        },
        "tool",
        "out\nerr",
    ),
    (
        {
            "type": "apply_patch_call",
            "call_id": "c",
            "status": "completed",
            "operation": {"type": "delete_file", "path": "p"},
        },
        "assistant",
        "",
    ),
    (
        {
            "type": "apply_patch_call_output",
            "call_id": "c",
            "status": "completed",
            "output": "patched",
        },
        "tool",
        "patched",
    ),
    ({"type": "mcp_list_tools", "server_label": "s", "tools": []}, "assistant", ""),
    (
        {
            "type": "mcp_approval_request",
            "server_label": "s",
            "name": "run",
            "arguments": "{}",
        },
        "assistant",
        "",
    ),
    (
        {"type": "mcp_approval_response", "approval_request_id": "r", "approve": True},
        "user",
        "",
    ),
    (
        {
            "type": "mcp_call",
            "server_label": "s",
            "name": "run",
            "arguments": "{}",
            "output": "ok",
        },
        "assistant",
        "run\n{}\nok",
    ),
]


MESSAGES: list[tuple[dict[str, Any], str]] = [
    (message([]), ""),
    (message(""), ""),
    (message([{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]), "a\nb"),
    (message([{"type": "output_text", "text": "a"}], "assistant"), "a"),
    (message([{"type": "refusal", "refusal": "no"}], "assistant"), "no"),
    (message([{"type": "input_image", "image_url": "https://x.test/a.png"}]), ""),
    (message([{"type": "input_file", "file_id": "f", "filename": "plan.pdf"}]), "plan.pdf"),
    (
        message([{"type": "input_audio", "input_audio": {"data": "AA==", "transcript": "hey"}}]),
        "hey",
    ),
    (chat_calls("a", "b"), f"look_up\n{WEATHER}\nlook_up\n{WEATHER}"),
    (chat_calls("a", content="One moment."), f"One moment.\nlook_up\n{WEATHER}"),
    (
        message(
            None,
            "assistant",
            tool_calls=[{"id": "a", "type": "custom", "custom": {"name": "run", "input": "ls"}}],
        ),
        "run\nls",
    ),
    (chat_output(), "4 degrees"),
    (
        message(None, "assistant", function_call={"name": "run", "arguments": "{}"}),
        "run\n{}",
    ),
    (message("4 degrees", "function", name="run"), "4 degrees"),
    (message(None, "function", name="run"), ""),
    (message(None, "assistant", refusal="I can't."), "I can't."),
    (message(None, "assistant", refusal=None), ""),
    (message(None, "assistant", audio={"id": "audio_1", "transcript": "hey"}), "hey"),
]
