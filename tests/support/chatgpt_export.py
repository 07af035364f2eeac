"""Generates ChatGPT exports of any size, the same for a seed: for tests and measurements.

`python tests/support/chatgpt_export.py export.zip 200` writes 200 MB.

As in real exports, a conversation begins with a hidden system message, about a quarter have
branches, some times are missing, and there are tool calls, images and transcribed audio.
"""

from __future__ import annotations

import json
import random
import sys
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_START = 1_680_000_000
_NAMES = ("Pixel", "Ravello", "Tern", "Quillon", "Marrow", "Osprey", "Lindy", "Brevik")
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnprstvz"


class ExportGenerator:
    """Generates conversations from invented words; `turns` counts those on active branches."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._words = [self._word() for _ in range(4_000)]
        self.turns = 0

    def conversation(self, number: int) -> Json:
        """Return one conversation, of 2 to 40 turns on its active branch."""
        thread = _Thread(self._random, number)
        thread.say("system", [""], {"is_visually_hidden_from_conversation": True})
        for turn in range(self._random.randint(1, 20)):
            self._exchange(thread, turn)
            self.turns += 2
        return thread.as_conversation(self.text(3), self._random.random() < 0.1)

    def text(self, words: int) -> str:
        """Return a sentence of invented words, with a name in some of the longer ones."""
        chosen = self._random.choices(self._words, k=words)
        if words > 10:
            chosen[self._random.randrange(words)] = self._random.choice(_NAMES)
        return " ".join(chosen).capitalize() + "."

    def _exchange(self, thread: _Thread, turn: int) -> None:
        kind = self._random.random()
        parts: list[Any] = [self.text(self._random.randint(5, 60))]
        if kind < 0.05:
            parts.insert(
                0, {"content_type": "image_asset_pointer", "asset_pointer": "sediment://f"}
            )
        elif kind < 0.1:
            parts = [{"content_type": "audio_transcription", "text": parts[0], "direction": "in"}]
        thread.say("user", parts)
        if self._random.random() < 0.03:
            thread.say_aside("assistant", [self.text(40)])
        if kind > 0.95:
            thread.call(self.text(12), self.text(20))
            self.turns += 2
        thread.say("assistant", [self.text(self._random.randint(20, 200)), ""][: 1 + turn % 2])

    def _word(self) -> str:
        pairs = self._random.randint(1, 4)
        return "".join(
            self._random.choice(_CONSONANTS) + self._random.choice(_VOWELS) for _ in range(pairs)
        )


class _Thread:
    """One conversation while it grows; `_current` is the node that is replied to."""

    def __init__(self, chance: random.Random, number: int) -> None:
        self._random = chance
        self._time = _START + number * 7_200.0
        self._mapping: dict[str, Json] = {}
        self._current: str | None = None
        self._id = self._new_id()
        self._current = self._add(None)

    def say(self, role: str, parts: list[Any], metadata: Json | None = None) -> None:
        """Append a message."""
        kind = "text" if all(isinstance(part, str) for part in parts) else "multimodal_text"
        content = {"content_type": kind, "parts": parts}
        self._current = self._add(self._message(role, content, metadata or {}))

    def say_aside(self, role: str, parts: list[Any]) -> None:
        """Add a regenerated message that is not on the active branch."""
        current = self._current
        self.say(role, parts)
        self._current = current

    def call(self, code: str, output: str) -> None:
        """Append a call of the code interpreter and its output."""
        message = self._message("assistant", {"content_type": "code", "text": code}, {})
        message["recipient"] = "python"
        self._current = self._add(message)
        answer = self._message("tool", {"content_type": "execution_output", "text": output}, {})
        answer["author"]["name"] = "python"
        self._current = self._add(answer)

    def as_conversation(self, title: str, archived: bool) -> Json:  # noqa: FBT001 - one of two fields
        """Return the conversation as the export holds it."""
        return {
            "title": title,
            "create_time": _START * 1.0,
            "update_time": self._time,
            "mapping": self._mapping,
            "moderation_results": [],
            "current_node": self._current,
            "conversation_id": self._id,
            "is_archived": archived,
            "default_model_slug": "gpt-5",
            "safe_urls": [],
            "id": self._id,
        }

    def _message(self, role: str, content: Json, metadata: Json) -> Json:
        self._time += self._random.randint(5, 120)
        return {
            "id": self._new_id(),
            "author": {"role": role, "name": None, "metadata": {}},
            "create_time": None if self._random.random() < 0.02 else self._time,
            "update_time": None,
            "content": content,
            "status": "finished_successfully",
            "end_turn": True if role == "assistant" else None,
            "weight": 1.0,
            "metadata": {
                **metadata,
                "request_id": self._new_id(),
                "message_source": None,
                "timestamp_": "absolute",
                "message_type": None,
                "model_slug": "gpt-5",
                "parent_id": self._current,
            },
            "recipient": "all",
            "channel": None,
        }

    def _add(self, message: Json | None) -> str:
        key = self._new_id() if message is None else str(message["id"])
        self._mapping[key] = {
            "id": key,
            "message": message,
            "parent": self._current,
            "children": [],
        }
        if self._current is not None:
            self._mapping[self._current]["children"].append(key)
        return key

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def pieces(megabytes: float, generator: ExportGenerator) -> Iterator[str]:
    """Yield the text of a conversations.json of about this size."""
    written, number = 0, 0
    while written < megabytes * 1_000_000:
        text = json.dumps(generator.conversation(number), ensure_ascii=False)
        yield ("[" if number == 0 else ", ") + text
        written += len(text)
        number += 1
    yield "]"


def write_export(path: Path, megabytes: float, seed: int = 0) -> int:
    """Write an export, as a ZIP if its name ends so; return the turns on its active branches."""
    generator = ExportGenerator(seed)
    if path.suffix == ".zip":
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("conversations.json", "w", force_zip64=True) as member,
        ):
            for piece in pieces(megabytes, generator):
                member.write(piece.encode())
    else:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(pieces(megabytes, generator))
    return generator.turns


if __name__ == "__main__":
    write_export(Path(sys.argv[1]), float(sys.argv[2]))
