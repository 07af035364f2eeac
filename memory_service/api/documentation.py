"""The documentation page `/docs`, with its script and style sheet.

FastAPI's own page loads them from another host: it is blank without a network, and the other host
sees who reads it. Only the files of fastapi-offline are used. Its page is a closure over the
application, which FastAPI never releases (40 MB for each application).
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_FILES = "/docs/files"

router = APIRouter(include_in_schema=False)


def install(app: FastAPI) -> None:
    """Serve the page and its files."""
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
