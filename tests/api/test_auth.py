"""Authentication: without keys, requests of this machine only; with keys, valid keys only."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import httpx2
import openai
import pytest

from memory_service.api.app import create_app
from memory_service.composition.data_folder import open_log
from memory_service.core import clock
from memory_service.core.settings import Settings
from memory_service.server import running
from memory_service.service import Service
from tests.support.environment import connected
from tests.support.factories import message

ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - what must be refused


def make_key(settings: Settings, project: str = "acme") -> str:
    """Create a key while the server runs, as the command does."""
    with closing(open_log(settings.data_dir)) as log, log.write() as transaction:
        return transaction.api_keys.create(
            transaction.projects.ensure(project, clock.now()), clock.now()
        )


def revoke_key(settings: Settings, number: int) -> None:
    """Revoke a key while the server runs, as the command does."""
    with closing(open_log(settings.data_dir)) as log, log.write() as transaction:
        assert transaction.api_keys.revoke(number, clock.now())


def command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `memory-service …` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "memory_service", *arguments, "--data-dir", settings.data_dir],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def get_conversations(address: str, **headers: str) -> httpx2.Response:
    return httpx2.get(f"{address}/v1/conversations", headers=headers)


def error_of(answer: httpx2.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["type"], error["code"]


@pytest.fixture(scope="module")
def keyless_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server without keys."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("keyless"), port=0, log_level="warning")
    with running(settings, "tests") as base:
        yield base


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.1:8000", "[::1]:80", "[::1]"])
def test_keyless_serves_local_hosts(keyless_address: str, host: str) -> None:
    assert get_conversations(keyless_address, host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "127.0.0.1.example.org",
        "localhost.example.org",
        "example.org:127",
        "127.0.0.1@example.org",
        ALL_INTERFACES,
        "192.168.1.7",
        "[::2]",
        "[::1",
        "",
    ],
)
def test_keyless_refuses_other_hosts(keyless_address: str, host: str) -> None:
    assert error_of(get_conversations(keyless_address, host=host)) == (
        403,
        "permission_error",
        "forbidden",
    )


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:1"])
def test_keyless_serves_local_origins(keyless_address: str, origin: str) -> None:
    assert get_conversations(keyless_address, origin=origin).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["https://example.org", "http://localhost.example.org", "null", "", "localhost", "file://"],
)
def test_keyless_refuses_other_origins(keyless_address: str, origin: str) -> None:
    assert error_of(get_conversations(keyless_address, origin=origin)) == (
        403,
        "permission_error",
        "forbidden",
    )


@pytest.mark.parametrize(
    ("client", "status"),
    [
        ("127.0.0.1", 200),
        ("127.8.8.8", 200),
        ("::1", 200),
        ("203.0.113.9", 403),
        ("10.0.0.1", 403),
        ("::ffff:203.0.113.9", 403),
        ("2001:db8::1", 403),
        ("", 403),
    ],
)
def test_keyless_serves_local_clients_only(settings: Settings, client: str, status: int) -> None:
    async def call() -> httpx2.Response:
        served = create_app(settings)
        transport = httpx2.ASGITransport(app=served, client=(client, 4711))
        async with (
            served.router.lifespan_context(served),
            httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser,
        ):
            return await browser.get("/v1/conversations")

    assert asyncio.run(call()).status_code == status


@pytest.mark.parametrize("authorization", ["Bearer msk_none", "Basic eDp5", "Bearer", "nonsense"])
def test_keyless_ignores_authorization(keyless_address: str, authorization: str) -> None:
    assert get_conversations(keyless_address, authorization=authorization).status_code == 200


def test_first_key_ends_keyless_mode_at_once(settings: Settings, address: str) -> None:
    assert get_conversations(address).status_code == 200
    key = make_key(settings)
    assert error_of(get_conversations(address)) == (401, "authentication_error", "invalid_api_key")
    assert get_conversations(address, authorization=f"Bearer {key}").status_code == 200


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer msk_wrong", "Basic {key}", "{key}", "Bearer {key}x", "Bearer x{key}"],
)
def test_invalid_authorization_returns_401(
    settings: Settings, address: str, authorization: str
) -> None:
    wrong = authorization.format(key=make_key(settings))
    answer = get_conversations(address, authorization=wrong)
    assert error_of(answer) == (401, "authentication_error", "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_openai_client_needs_valid_key(settings: Settings, address: str) -> None:
    with connected(address, make_key(settings)) as client:
        assert client.conversations.create().object == "conversation"
    with connected(address, "msk_wrong") as client, pytest.raises(openai.AuthenticationError):
        client.conversations.create()


def test_key_is_accepted_from_any_host_and_origin(settings: Settings, address: str) -> None:
    bearer = f"Bearer {make_key(settings)}"
    answer = get_conversations(
        address, authorization=bearer, host="memory.example.org", origin="https://example.org"
    )
    assert answer.status_code == 200


def test_revoked_key_is_refused_at_once(settings: Settings, address: str) -> None:
    revoked, valid = make_key(settings), make_key(settings)
    assert get_conversations(address, authorization=f"Bearer {revoked}").status_code == 200
    revoke_key(settings, 1)
    assert get_conversations(address, authorization=f"Bearer {revoked}").status_code == 401
    assert get_conversations(address, authorization=f"Bearer {valid}").status_code == 200


def test_revoking_last_key_does_not_restore_keyless_mode(settings: Settings, address: str) -> None:
    key = make_key(settings)
    revoke_key(settings, 1)
    assert get_conversations(address).status_code == 401
    assert get_conversations(address, authorization=f"Bearer {key}").status_code == 401


def test_key_of_local_project_reads_keyless_data(settings: Settings, address: str) -> None:
    with connected(address, "none") as client:
        client.conversations.create(extra_body={"id": "c", "items": [message()]})
    with connected(address, make_key(settings, "local")) as client:
        assert client.conversations.retrieve("c").id == "c"


def test_key_commands_while_server_runs(settings: Settings, address: str) -> None:
    key = command(settings, "keys", "create", "--project", "acme").stdout.splitlines()[-1]
    assert get_conversations(address, authorization=f"Bearer {key}").status_code == 200
    shown = command(settings, "keys", "list").stdout
    assert key not in shown
    assert key[-4:] in shown
    assert command(settings, "keys", "revoke", "1").returncode == 0
    assert get_conversations(address, authorization=f"Bearer {key}").status_code == 401


def test_key_is_in_no_file(settings: Settings) -> None:
    key = make_key(settings)
    files = [path for path in settings.data_dir.rglob("*") if path.is_file()]
    assert files
    assert not any(key.encode() in path.read_bytes() for path in files)


def test_health_and_documentation_need_no_key(settings: Settings, address: str) -> None:
    make_key(settings)
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
        assert httpx2.get(f"{address}{path}").status_code == 200


@pytest.mark.parametrize("host", [ALL_INTERFACES, "::"])
def test_serve_refuses_public_host_without_keys(settings: Settings, host: str) -> None:
    done = command(settings, "serve", "--host", host, "--port", "0")
    assert done.returncode == 2
    assert "keys create" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("existing", [None, 0o755, 0o777])
def test_data_folder_is_readable_by_owner_only(settings: Settings, existing: int | None) -> None:
    if existing is not None:
        settings.data_dir.mkdir()
        settings.data_dir.chmod(existing)
    with Service.open(settings, purpose="tests"):
        assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700


def test_key_is_valid_after_restart(settings: Settings) -> None:
    key = make_key(settings)
    for _ in range(2):
        with running(settings, "tests") as address:
            assert get_conversations(address).status_code == 401
            assert get_conversations(address, authorization=f"Bearer {key}").status_code == 200


def test_key_command_binds_key_to_user(settings: Settings, address: str) -> None:
    arguments = ("keys", "create", "--project", "acme", "--user", "ann@example.org")
    key = command(settings, *arguments).stdout.splitlines()[-1]
    made = httpx2.post(
        f"{address}/v1/conversations", json={}, headers={"authorization": f"Bearer {key}"}
    )
    assert made.raise_for_status().json()["user"] == "ann@example.org"
    assert "ann@example.org" in command(settings, "keys", "list").stdout
    done = command(settings, "keys", "create", "--project", "acme", "--user", " ")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
