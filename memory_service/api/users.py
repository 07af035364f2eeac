"""/v1/users and /v1/receipts: list and delete users, and read the receipts of deletions."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.access import is_readable_key, readable_user
from memory_service.api.auth import Access, Project
from memory_service.api.paging import After, Direction, Limit
from memory_service.api.state import ServiceState
from memory_service.core.errors import NotFound
from memory_service.core.models import KeyAccess, Page
from memory_service.turn_log.transactions import ReadTransaction

router = APIRouter(prefix="/v1", tags=["users"])


@router.get("/users")
def list_users(
    access: Access,
    service: ServiceState,
    after: After = None,
    limit: Limit = 20,
    order: Direction = "asc",
) -> Response:
    """List the users of the project, with the number of their conversations and turns."""
    project = access.project_key
    with service.log.read() as snapshot:
        if after is not None:
            readable_user(access, after, param="after")
        begin = None if after is None else snapshot.users.key_of(project, after)
        if after is not None and begin is None:
            raise NotFound(f"No user {after!r}.", param="after")
        page = (
            snapshot.users.page(project, begin, limit, order)
            if access.user is None
            else _page_of_one(snapshot, access, is_first=after is None)
        )
    data = [render.user(user) for user in page.data]
    return render.respond(render.listing(data, has_more=page.has_more))


def _page_of_one(snapshot: ReadTransaction, access: KeyAccess, *, is_first: bool) -> Page:
    """Return the page with the acting user, if the log has it."""
    user = snapshot.users.get(access.project_key, access.user or "") if is_first else None
    return Page([] if user is None else [user], has_more=False)


# The id of a user may contain a slash.
@router.delete("/users/{user_id:path}")
def delete_user(project: Project, service: ServiceState, user_id: str) -> Response:
    """Delete a user with all conversations."""
    receipt = service.deletions.delete_user(project, user_id)
    return render.respond(
        {"id": user_id, "object": "user.deleted", "deleted": True, "receipt": receipt.id}
    )


@router.get("/receipts/{receipt_id}")
def get_receipt(access: Access, service: ServiceState, receipt_id: str) -> Response:
    """Return the kind and the counts of a deletion."""
    with service.log.read() as snapshot:
        receipt = snapshot.receipts.get(access.project_key, receipt_id)
        is_readable = receipt and is_readable_key(snapshot, access, receipt.user_key)
    if receipt is None or not is_readable:
        raise NotFound(f"No receipt {receipt_id!r}.", param="receipt_id")
    return render.respond(render.receipt(receipt))
