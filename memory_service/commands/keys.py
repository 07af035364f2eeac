"""`memory-service keys`: create, list and revoke API keys."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from memory_service.commands.options import DataDir, read_settings
from memory_service.commands.terminal import harmless, stdout
from memory_service.composition.data_folder import open_log
from memory_service.core import clock
from memory_service.core.clock import to_datetime
from memory_service.core.errors import NotFound, StartupError
from memory_service.items.fields import check_user_id

keys_app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")


@keys_app.command(
    "create", epilog="Example: memory-service keys create --project acme --user ann@example.org"
)
def create_key(
    project: Annotated[str, typer.Option(help="The key's project; created if it is new.")],
    user: Annotated[
        str | None,
        typer.Option(help="The user that the key acts as; without it, the whole project."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Create an API key and print it once, on the last line; then all requests need a key.

    A key with --user stores and recalls for this user, and reaches nothing of other users.
    """
    settings = read_settings(data_dir=data_dir)
    if not project.strip() or len(project) > 128:
        raise StartupError("A project's name has 1 to 128 characters.")
    if user is not None:
        check_user_id(user, "user")
    log = open_log(settings.data_dir)
    try:
        with log.write() as transaction:
            project_key = transaction.projects.ensure(project.strip(), clock.now())
            key = transaction.api_keys.create(project_key, clock.now(), user=user)
    finally:
        log.close()
    owner = f"project {project.strip()!r}" + (f", user {user!r}" if user is not None else "")
    typer.echo(f"A key for {owner}; it is not shown again:", err=True)
    typer.echo(key)


@keys_app.command("list", epilog="Example: memory-service keys list")
def list_keys(data_dir: DataDir = None) -> None:
    """List the keys: number, project, user, last four characters, creation and revocation."""
    log = open_log(read_settings(data_dir=data_dir).data_dir)
    try:
        with log.read() as snapshot:
            keys = snapshot.api_keys.all()
    finally:
        log.close()
    table = Table("number", "project", "user", "key", "made", "revoked")
    for key in keys:
        table.add_row(
            str(key.id),
            harmless(key.project),
            "" if key.user is None else harmless(key.user),
            f"…{key.hint}",
            _day(key.created_at),
            "" if key.revoked_at is None else _day(key.revoked_at),
        )
    stdout().print(table)


@keys_app.command("revoke", epilog="Example: memory-service keys revoke 3")
def revoke_key(
    number: Annotated[int, typer.Argument(help="The key's number in 'keys list'.")],
    data_dir: DataDir = None,
) -> None:
    """Revoke a key; this takes effect on a running server's next request."""
    log = open_log(read_settings(data_dir=data_dir).data_dir)
    try:
        with log.write() as transaction:
            revoked = transaction.api_keys.revoke(number, clock.now())
    finally:
        log.close()
    if not revoked:
        raise NotFound(f"No valid key has the number {number}; see 'keys list'.")
    typer.echo(f"Key {number} is revoked.")


def _day(microseconds: int) -> str:
    return to_datetime(microseconds).strftime("%Y-%m-%d %H:%M UTC")
