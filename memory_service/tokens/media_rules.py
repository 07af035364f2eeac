"""What media cost in tokens, by the formulas of the models' vendors. Pure.

The formulas and their numbers are in `data/media.toml`. They are estimates: vendors change them,
and other servers have their own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from memory_service.core.data_files import read_toml
from memory_service.tokens.model_table import bare_name

_TILE_PIXELS: Final = 512


class ImageSize(NamedTuple):
    """The size of an image in pixels, at least one by one."""

    width: int
    height: int

    def within(self, *, box: float) -> ImageSize:
        """Return the size scaled down to fit a square; a smaller one is returned as it is."""
        return self._scaled(min(1.0, box / max(self)))

    def _scaled(self, scale: float) -> ImageSize:
        return ImageSize(max(1, round(self.width * scale)), max(1, round(self.height * scale)))

    def with_short_side(self, pixels: int) -> ImageSize:
        """Return the size scaled down to a shorter side."""
        return self._scaled(min(1.0, pixels / min(self)))

    def squares(self, pixels: float) -> int:
        """Return how many squares cover the image."""
        return math.ceil(self.width / pixels) * math.ceil(self.height / pixels)


@dataclass(frozen=True, slots=True)
class MediaRules:
    """What media cost for a family of models."""

    image: Mapping[str, Any]
    audio_second: float
    page: int

    def image_tokens(self, size: ImageSize | None, *, is_low_detail: bool) -> int:
        """Return the tokens of an image; without its size, those of an image of usual size."""
        rule = self.image["rule"]
        if rule == "tiles" and is_low_detail:
            return int(self.image["base"])
        if rule == "fixed":
            return int(self.image["tokens"])
        if size is None:
            return int(self.image["unknown"])
        return _IMAGE_RULES[rule](size, self.image)

    def audio_tokens(self, seconds: float) -> int:
        """Return the tokens of sound."""
        return math.ceil(seconds * self.audio_second)

    def document_tokens(self, pages: int) -> int:
        """Return the tokens of a document."""
        return pages * self.page


def _tiles(size: ImageSize, rule: Mapping[str, Any]) -> int:
    scaled = size.within(box=rule["box"]).with_short_side(rule["short_side"])
    return int(rule["base"] + rule["tile"] * scaled.squares(_TILE_PIXELS))


def _patches(size: ImageSize, rule: Mapping[str, Any]) -> int:
    patches: float = min(size.squares(rule["patch"]), rule["max_patches"])
    tokens: float = patches * rule["factor"]
    return math.ceil(tokens)


def _area(size: ImageSize, rule: Mapping[str, Any]) -> int:
    scaled = size.within(box=rule["long_side"])
    tokens = math.ceil(scaled.width * scaled.height / rule["pixels"])
    return int(min(tokens, rule["max_tokens"]))


def _grid(size: ImageSize, rule: Mapping[str, Any]) -> int:
    squares = 1 if max(size) <= rule["small"] else size.squares(rule["side"])
    return int(rule["tile"] * squares)


_IMAGE_RULES: Final[Mapping[str, Callable[[ImageSize, Mapping[str, Any]], int]]] = MappingProxyType(
    {"tiles": _tiles, "patches": _patches, "area": _area, "grid": _grid}
)


@cache
def _families() -> list[tuple[re.Pattern[str], MediaRules]]:
    content = read_toml("memory_service.tokens", "media.toml")
    return [
        (
            re.compile(family["models"]),
            MediaRules(family["image"], family["audio_second"], family["page"]),
        )
        for family in content["families"]
    ]


@cache
def default_media_rules() -> MediaRules:
    """Return the rules for models of no known family."""
    return _families()[-1][1]


def media_rules(model: str | None) -> MediaRules:
    """Return the rules for a model."""
    name = bare_name(model).lower()
    return next(rules for models, rules in _families() if models.match(name))
