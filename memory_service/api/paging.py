"""The query parameters of listings, as OpenAI has them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from memory_service.core.models import Order

After = Annotated[str | None, Query(description="The id after which the page begins.")]
Limit = Annotated[int, Query(ge=1, le=100, description="The size of the page.")]
Direction = Annotated[Order, Query(description="asc: oldest first; desc: newest first.")]
