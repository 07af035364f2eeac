"""`python -m eval fetch`: downloads are checked against known hashes."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from eval.datasets.catalogue import NAMES, PUBLISHED
from eval.datasets.fetch import obtain
from eval.datasets.publications import PUBLICATIONS, Publication
from eval.errors import FetchError
from tests.support.evaluation_set import evaluate

CONTENT = b'[{"published": true}]'
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Place(BaseHTTPRequestHandler):
    """A download server with one file."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/file" else 404)
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        """Write no log line."""


@pytest.fixture
def server_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Place) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def published(url: str, sha256: str | None = SHA256) -> Publication:
    return Publication("https://example.org", "a licence", url, sha256)


def test_published_bytes_are_kept(server_url: str, tmp_path: Path) -> None:
    path = obtain("locomo", published(f"{server_url}/file"), tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_other_bytes_are_refused_and_removed(server_url: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"its SHA-256 is {SHA256}"):
        obtain("locomo", published(f"{server_url}/file", "0" * 64), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_checked_not_downloaded(tmp_path: Path) -> None:
    existing = tmp_path / PUBLISHED["locomo"]
    existing.write_bytes(CONTENT)
    assert obtain("locomo", published("http://127.0.0.1:1/file"), tmp_path) == existing
    existing.write_bytes(b"changed")
    with pytest.raises(FetchError, match="is not the published file"):
        obtain("locomo", published("http://127.0.0.1:1/file"), tmp_path)


def test_unknown_hash_is_pinned_on_first_download(server_url: str, tmp_path: Path) -> None:
    unknown = published(f"{server_url}/file", None)
    path = obtain("locomo-audit", unknown, tmp_path)
    assert (tmp_path / f"{path.name}.sha256").read_text() == f"{SHA256}\n"
    path.write_bytes(b"changed")
    with pytest.raises(FetchError, match="is not the published file"):
        obtain("locomo-audit", unknown, tmp_path)


def test_network_error_suggests_data_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(FetchError, match="name the file with --data"):
        obtain("locomo", published(f"http://127.0.0.1:{port}/file"), tmp_path)


def test_http_error_is_refused(server_url: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="404"):
        obtain("locomo", published(f"{server_url}/gone"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_licence_is_shown_and_unreadable_form_explained(tmp_path: Path) -> None:
    result = evaluate("fetch", "realtalk", "--folder", str(tmp_path))
    assert result.exit_code == 1
    assert "licence: none is named" in result.stdout
    assert "docs/evaluation.md says how" in result.stderr.replace("\n", " ")


def test_unknown_set_lists_known_sets() -> None:
    result = evaluate("fetch", "squad")
    assert result.exit_code == 2
    assert "locomo, locomo-audit, longmemeval-s" in result.stderr.replace("\n", " ")


def test_every_set_has_a_publication() -> None:
    assert set(PUBLICATIONS) == {*NAMES, "locomo-audit"} - {"own", "jsonl"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_downloads_are_pinned_to_revision_and_hash(name: str) -> None:
    publication = PUBLICATIONS[name]
    assert str(publication.url).startswith("https://")
    assert str(publication.url).endswith(f"/{PUBLISHED[name]}")
    assert "/main/" not in str(publication.url)
    assert len(str(publication.sha256)) == 64
