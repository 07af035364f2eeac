"""Makes ChatGPT exports of any size, always the same for a seed: for tests and measurements.

`python tests/support/chatgpt_export.py export.zip 200` writes 200 MB.

As in real exports, a conversation begins with a hidden system message; about a quarter branch; some
times are missing; tools are called, pictures shown, and some words were spoken.
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


class Author:
    """Writes conversations from words that it makes up; `turns` counts those of live branches."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._words = [self._word() for _ in range(4_000)]
        self.turns = 0

    def conversation(self, number: int) -> Json:
        """Return one conversation, of 2 to 40 turns on its live branch."""
        thread = _Thread(self._random, number)
        thread.say("system", [""], {"is_visually_hidden_from_conversation": True})
        for turn in range(self._random.randint(1, 20)):
            self._exchange(thread, turn)
            self.turns += 2
        return thread.as_conversation(self.text(3), self._random.random() < 0.1)

    def text(self, words: int) -> str:
        """Return some words, with a name among them now and then."""
        chosen = self._random.choices(self._words, k=words)
        if words > 10:
            chosen[self._random.randrange(words)] = self._random.choice(_NAMES)
        return " ".join(chosen).capitalize() + "."

    def _exchange(self, thread: _Thread, turn: int) -> None:
        kind = self._random.random()
        asked: list[Any] = [self.text(self._random.randint(5, 60))]
        if kind < 0.05:
            asked.insert(
                0, {"content_type": "image_asset_pointer", "asset_pointer": "sediment://f"}
            )
        elif kind < 0.1:
            asked = [{"content_type": "audio_transcription", "text": asked[0], "direction": "in"}]
        thread.say("user", asked)
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
    def __init__(self, chance: random.Random, number: int) -> None:
        self._random = chance
        self._time = _START + number * 7_200.0
        self._mapping: dict[str, Json] = {}
        self._at: str | None = None
        self._id = self._new_id()
        self._at = self._add(None)

    def say(self, role: str, parts: list[Any], metadata: Json | None = None) -> None:
        """Go on with a message."""
        kind = "text" if all(isinstance(part, str) for part in parts) else "multimodal_text"
        content = {"content_type": kind, "parts": parts}
        self._at = self._add(self._message(role, content, metadata or {}))

    def say_aside(self, role: str, parts: list[Any]) -> None:
        """Add a message that was answered anew: it is not on the live branch."""
        at = self._at
        self.say(role, parts)
        self._at = at

    def call(self, code: str, output: str) -> None:
        """Go on with a call of the code interpreter and what it printed."""
        asked = self._message("assistant", {"content_type": "code", "text": code}, {})
        asked["recipient"] = "python"
        self._at = self._add(asked)
        answer = self._message("tool", {"content_type": "execution_output", "text": output}, {})
        answer["author"]["name"] = "python"
        self._at = self._add(answer)

    def as_conversation(self, title: str, archived: bool) -> Json:  # noqa: FBT001 - as it is there
        """Return it as the export has it."""
        return {
            "title": title,
            "create_time": _START * 1.0,
            "update_time": self._time,
            "mapping": self._mapping,
            "moderation_results": [],
            "current_node": self._at,
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
                "parent_id": self._at,
            },
            "recipient": "all",
            "channel": None,
        }

    def _add(self, message: Json | None) -> str:
        key = self._new_id() if message is None else str(message["id"])
        self._mapping[key] = {"id": key, "message": message, "parent": self._at, "children": []}
        if self._at is not None:
            self._mapping[self._at]["children"].append(key)
        return key

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def pieces(megabytes: float, author: Author) -> Iterator[str]:
    """Yield the text of a conversations.json of about this size."""
    written, number = 0, 0
    while written < megabytes * 1_000_000:
        text = json.dumps(author.conversation(number), ensure_ascii=False)
        yield ("[" if number == 0 else ", ") + text
        written += len(text)
        number += 1
    yield "]"


def write_export(path: Path, megabytes: float, seed: int = 0) -> int:
    """Write an export, as a ZIP if the name says so; return the turns on its live branches."""
    author = Author(seed)
    if path.suffix == ".zip":
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("conversations.json", "w", force_zip64=True) as member,
        ):
            for piece in pieces(megabytes, author):
                member.write(piece.encode())
    else:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(pieces(megabytes, author))
    return author.turns


if __name__ == "__main__":
    write_export(Path(sys.argv[1]), float(sys.argv[2]))
