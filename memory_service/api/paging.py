"""The query parameters of lists, as in OpenAI's API."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from memory_service.core.models import Order

After = Annotated[str | None, Query(description="The page begins after this id.")]
Limit = Annotated[
    int, Query(ge=1, le=100, description="The largest number of entries in the page.")
]
Direction = Annotated[Order, Query(description="asc: oldest first; desc: newest first.")]
