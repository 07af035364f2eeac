"""Conversations without end for any agent: turns kept, the right ones back, prompts that fit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memory_service.embedded import Memory, open_memory

__version__ = "0.1.0"
__all__ = ["Memory", "__version__", "open_memory"]


def __getattr__(name: str) -> Any:
    # The process that owns Chroma imports this package too, and needs a twentieth of it.
    if name in ("Memory", "open_memory"):
        return getattr(import_module("memory_service.embedded"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
