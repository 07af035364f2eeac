"""Reads the exports of one product each: a name, the expected files, `sniff` and `parse`.

Imports: `ingest.transcripts`, `ingest.sources`, `ingest.records`, `ingest.items`, `ingest.trees`.
Start reading: `ingest.formats.format` (the contract), then `ingest.formats.sharegpt` (a short one).
"""

from __future__ import annotations

from ingest.formats import claude_ai, codex, dialogue, messages, service_export, sharegpt
from ingest.formats.chatgpt import exports as chatgpt
from ingest.formats.claude_code import sessions as claude_code
from ingest.formats.format import Format
from ingest.formats.slack import exports as slack
from ingest.formats.whatsapp import chats as whatsapp
from ingest.sources.source import ExportSource

FORMATS: dict[str, Format] = {
    module.NAME: module
    for module in (
        *(service_export, chatgpt, claude_ai, claude_code, codex),
        *(slack, sharegpt, messages, whatsapp, dialogue),
    )
}
"""The formats by their `--format` names, in the order in which they are tried."""


def recognise(source: ExportSource) -> Format | None:
    """Return the first format that recognises a source by the beginnings of its members."""
    return next((candidate for candidate in FORMATS.values() if candidate.sniff(source)), None)
