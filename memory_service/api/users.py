"""/v1/users and /v1/receipts: list and delete users, and read the receipts of deletions."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.auth import Project
from memory_service.api.paging import After, Direction, Limit
from memory_service.api.state import ServiceState
from memory_service.core.errors import NotFound

router = APIRouter(prefix="/v1", tags=["users"])


@router.get("/users")
def list_users(
    project: Project,
    service: ServiceState,
    after: After = None,
    limit: Limit = 20,
    order: Direction = "asc",
) -> Response:
    """List the users of the project, with the number of their conversations and turns."""
    with service.log.read() as snapshot:
        begin = None if after is None else snapshot.users.key_of(project, after)
        if after is not None and begin is None:
            raise NotFound(f"No user {after!r}.", param="after")
        page = snapshot.users.page(project, begin, limit, order)
    data = [render.user(user) for user in page.data]
    return render.respond(render.listing(data, has_more=page.has_more))


# The id of a user may contain a slash.
@router.delete("/users/{user_id:path}")
def delete_user(project: Project, service: ServiceState, user_id: str) -> Response:
    """Delete a user with all conversations."""
    receipt = service.deletions.delete_user(project, user_id)
    return render.respond(
        {"id": user_id, "object": "user.deleted", "deleted": True, "receipt": receipt.id}
    )


@router.get("/receipts/{receipt_id}")
def get_receipt(project: Project, service: ServiceState, receipt_id: str) -> Response:
    """Return the kind and the counts of a deletion."""
    with service.log.read() as snapshot:
        receipt = snapshot.receipts.get(project, receipt_id)
    if receipt is None:
        raise NotFound(f"No receipt {receipt_id!r}.", param="receipt_id")
    return render.respond(render.receipt(receipt))
