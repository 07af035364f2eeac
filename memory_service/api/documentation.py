"""The page of documentation, with its script: FastAPI's own loads it from another host.

That page is blank on a machine that is offline, and tells a third party who reads it. Of
fastapi-offline only the files are used: its page is a closure over the application, which FastAPI
remembers for ever (40 MB for each application that a process makes).
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_FILES = "/docs/files"

router = APIRouter(include_in_schema=False)


def install(app: FastAPI) -> None:
    """Serve the page and what it loads."""
    app.include_router(router)
    app.mount(_FILES, StaticFiles(packages=[("fastapi_offline", "static")]))


@router.get("/docs")
async def documentation() -> HTMLResponse:
    """Return Swagger UI for this service."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="memory_service",
        swagger_js_url=f"{_FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{_FILES}/swagger-ui.css",
        swagger_favicon_url=f"{_FILES}/favicon.png",
    )
