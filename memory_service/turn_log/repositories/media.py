"""Media: images, audio and files of turns, each stored once in a project.

The JSON of a stored turn has no media. Turns are read without them, because recall and most other
readers need only texts; `with_media` puts them back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import sqlalchemy as sa

from memory_service.core.models import Turn
from memory_service.items.media import (
    CutJson,
    Medium,
    join_hashes,
    join_media,
    leave_out_media,
    may_have_media,
)
from memory_service.turn_log.repositories.statements import Statements, batches, inserted_key
from memory_service.turn_log.schema import media, turn_media, turns


class MediaPlace(NamedTuple):
    """The place of a medium in the JSON of its turn, and the stored content."""

    turn_key: int
    start: int
    style: int
    media_key: int
    size: int
    hash: bytes


class StoredMedium(NamedTuple):
    """A stored content with its hash."""

    key: int
    hash: bytes
    content: bytes


_PLACES = (
    sa.select(
        turn_media.c.turn_key,
        turn_media.c.start,
        turn_media.c.style,
        turn_media.c.media_key,
        media.c.size,
        media.c.hash,
    )
    .join(media, media.c.key == turn_media.c.media_key)
    .order_by(turn_media.c.turn_key, turn_media.c.ordinal)
)
"""In the order of a MediaPlace's fields."""


class MediaQueries(Statements):
    """Reads media."""

    def with_media(
        self,
        stored: Sequence[Turn],
        *,
        max_bytes: int | None = None,
        except_keys: Collection[int] = (),
    ) -> list[Turn]:
        """Return stored turns, oldest first, with the media in their JSON.

        With `max_bytes`, the newest media are kept up to that size, and a text stands for the
        others. The media of one turn are kept or left out together. Turns with `except_keys` stay
        as they are.
        """
        places = self._places(
            turn.key for turn in stored if turn.key not in except_keys and may_have_media(turn.raw)
        )
        if not places:
            return list(stored)
        kept = _within(places, stored, max_bytes)
        contents = self._contents(place.media_key for key in kept for place in places[key])
        return [
            _joined(turn, places[turn.key], contents if turn.key in kept else None)
            if turn.key in places
            else turn
            for turn in stored
        ]

    def with_marks(self, stored: Sequence[Turn]) -> list[Turn]:
        """Return stored turns with marks instead of media, which have the same message hashes."""
        raws = {turn.key: turn.raw for turn in stored if may_have_media(turn.raw)}
        if not raws:
            return list(stored)
        marked = self.with_hashes(raws)
        return [replace(turn, raw=marked.get(turn.key, turn.raw)) for turn in stored]

    def with_hashes(self, raws: Mapping[int, str]) -> dict[int, str]:
        """Return the JSON of turns, by key, with marks instead of media."""
        places = self._places(key for key, raw in raws.items() if may_have_media(raw))
        return {
            key: join_hashes(raw, [(place.start, place.hash) for place in places.get(key, ())])
            for key, raw in raws.items()
        }

    def all(self) -> Iterator[StoredMedium]:
        """Yield all contents, one at a time."""
        for key in self._connection.scalars(sa.select(media.c.key).order_by(media.c.key)).all():
            row = self._connection.execute(
                sa.select(media.c.key, media.c.hash, media.c.content).where(media.c.key == key)
            ).one()
            yield StoredMedium(*row)

    def unreferenced(self) -> list[int]:
        """Return the keys of the contents that no turn has."""
        return list(self._connection.scalars(sa.select(media.c.key).where(_is_unreferenced())))

    def _places(self, turn_keys: Iterable[int]) -> dict[int, list[MediaPlace]]:
        """Return the places of the media of turns, in their order, by the turn's key."""
        places: defaultdict[int, list[MediaPlace]] = defaultdict(list)
        for batch in batches(turn_keys):
            for row in self._connection.execute(_PLACES.where(turn_media.c.turn_key.in_(batch))):
                places[row.turn_key].append(MediaPlace(*row))
        return dict(places)

    def _contents(self, keys: Iterable[int]) -> dict[int, bytes]:
        return {
            row.key: row.content
            for batch in batches(set(keys))
            for row in self._connection.execute(
                sa.select(media.c.key, media.c.content).where(media.c.key.in_(batch))
            )
        }


class MediaRepository(MediaQueries):
    """Stores media, and deletes those that no turn has any more."""

    def add(self, project_key: int, cut: Mapping[int, CutJson]) -> None:
        """Store the media of new turns, by the turn's key; known contents are not stored again."""
        for turn_key, json_text in cut.items():
            self._insert(
                turn_media,
                [
                    {
                        "turn_key": turn_key,
                        "ordinal": ordinal,
                        "start": medium.start,
                        "style": medium.style,
                        "media_key": self._ensure(project_key, medium),
                    }
                    for ordinal, medium in enumerate(json_text.media)
                ],
            )

    def keys_of_turns(self, turn_keys: Iterable[int]) -> set[int]:
        """Return the keys of the media of turns."""
        return {place.media_key for places in self._places(turn_keys).values() for place in places}

    def keys_of_conversation(self, conversation_key: int) -> set[int]:
        """Return the keys of the media of a conversation."""
        return set(
            self._connection.scalars(
                sa.select(turn_media.c.media_key)
                .join(turns, turns.c.key == turn_media.c.turn_key)
                .where(turns.c.conversation_key == conversation_key)
            )
        )

    def delete_unreferenced(self, keys: Iterable[int]) -> int:
        """Delete the contents among the keys that no turn has any more; return how many."""
        return sum(
            self._connection.execute(
                sa.delete(media).where(media.c.key.in_(batch), _is_unreferenced())
            ).rowcount
            for batch in batches(keys)
        )

    def _ensure(self, project_key: int, medium: Medium) -> int:
        """Return the key of a content, which is stored if it is new."""
        digest = medium.hash
        key: int | None = self._connection.scalar(
            sa.select(media.c.key).where(media.c.project_key == project_key, media.c.hash == digest)
        )
        if key is not None:
            return key
        return inserted_key(
            self._connection.execute(
                sa.insert(media).values(
                    project_key=project_key,
                    hash=digest,
                    size=len(medium.content),
                    content=medium.content,
                )
            )
        )


def _is_unreferenced() -> sa.ColumnElement[bool]:
    return ~sa.exists().where(turn_media.c.media_key == media.c.key)


def _within(
    places: Mapping[int, Sequence[MediaPlace]], stored: Sequence[Turn], max_bytes: int | None
) -> set[int]:
    """Return the keys of the turns whose media are kept: the newest within a size."""
    kept: set[int] = set()
    size = 0
    for turn in reversed(stored):
        size += sum(place.size for place in places.get(turn.key, ()))
        if max_bytes is not None and size > max_bytes:
            break
        if turn.key in places:
            kept.add(turn.key)
    return kept


def _joined(turn: Turn, places: Sequence[MediaPlace], contents: Mapping[int, bytes] | None) -> Turn:
    """Return a turn with its media, or with texts instead if there are no contents for it."""
    if contents is None:
        return replace(turn, raw=leave_out_media(turn.raw, [place.start for place in places]))
    media_of_turn = [
        Medium(place.start, place.style, contents[place.media_key]) for place in places
    ]
    return replace(turn, raw=join_media(turn.raw, media_of_turn))
