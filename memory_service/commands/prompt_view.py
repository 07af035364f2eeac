"""A prompt as tables: its parts, their tokens, and why each turn was recalled or left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from memory_service.commands.terminal import harmless
from memory_service.core.clock import to_datetime
from memory_service.core.models import MICROSECONDS
from memory_service.prompts.recalled_block import BLOCK

_PARTS = ("system", "summary", "recent", "recalled", "input", "tools", "total", "reserved_output")
_LEFT_OUT_SHOWN = 8
_EXCERPT_CHARS = 60

Json = Mapping[str, Any]


def show_prompt(console: Console, prompt: Json, trace: Json) -> None:
    """Print a prompt and its trace, both as the API returns them."""
    last = prompt["messages"][-1]
    for message in prompt["messages"]:
        _show_message(console, message, is_last=message is last)
    _show_tokens(console, prompt["tokens"])
    _show_recalled(console, prompt)
    _show_left_out(console, prompt, trace)


def _show_message(console: Console, message: Json, *, is_last: bool) -> None:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    for part in parts:
        title, style = f"recent · {message['role']}", "dim"
        if message["role"] == "system":
            title = "system"
        text = part.get("text") or json.dumps(message.get("tool_calls") or part, ensure_ascii=False)
        if is_last:
            title, style = "input", "bold"
            # The block is in front of the text, or a part of its own.
            block = BLOCK.match(text)
            if block is not None:
                _show_text(console, block[0], "recalled turns", "green")
                text = text[block.end() :].lstrip("\n")
        if text:
            _show_text(console, text, title, style)


def _show_text(console: Console, text: str, title: str, style: str) -> None:
    console.print(Panel(harmless(text), title=title, title_align="left", border_style=style))


def _show_tokens(console: Console, tokens: Json) -> None:
    table = Table("part", "tokens", title="The prompt")
    for part in _PARTS:
        table.add_row(part.replace("_", " "), f"{tokens[part]:,}")
    table.add_row("budget", f"{tokens['budget']:,}")
    console.print(table)
    console.print(harmless(f"Counted by {tokens['counter']}.\n"))


def _show_recalled(console: Console, prompt: Json) -> None:
    first = prompt["recent"]["first_seq"]
    if not prompt["recalled"]:
        console.print("Nothing was recalled.\n")
        return
    table = Table("rank", "turn", "date", "speaker", "score", "why", title="Recalled turns")
    for hit in prompt["recalled"]:
        table.add_row(
            str(hit["rank"]),
            harmless(f"{hit['item_id']} (seq {hit['seq']})"),
            _day(hit["created_at"]),
            harmless(hit["name"] or hit["role"]),
            f"{hit['score']:.2f}",
            harmless(hit["why"]),
        )
    console.print(table)
    if first is not None:
        console.print(f"The recent window begins at seq {first}.\n")


def _show_left_out(console: Console, prompt: Json, trace: Json) -> None:
    """Show the best candidates that are not in the prompt, and why not."""
    taken = {hit["item_id"] for hit in prompt["recalled"]}
    reasons = {drop["item_id"]: drop["reason"] for drop in prompt["dropped"]}
    left_out = [candidate for candidate in trace["candidates"] if candidate["item_id"] not in taken]
    if not left_out:
        return
    table = Table("turn", "score", "why not", "beginning", title="Turns left out, best first")
    for candidate in left_out[:_LEFT_OUT_SHOWN]:
        reason = reasons.get(candidate["item_id"], candidate["outcome"])
        table.add_row(
            harmless(str(candidate["item_id"])),
            f"{candidate['score']:.2f}",
            harmless(reason.replace("_", " ")),
            harmless(" ".join((candidate["text"] or "").split())[:_EXCERPT_CHARS]),
        )
    console.print(table)
    if len(left_out) > _LEFT_OUT_SHOWN:
        console.print(f"and {len(left_out) - _LEFT_OUT_SHOWN:,} more: GET /v1/traces/{trace['id']}")


def _day(seconds: float) -> str:
    return to_datetime(round(seconds * MICROSECONDS)).strftime("%d %b %Y")
