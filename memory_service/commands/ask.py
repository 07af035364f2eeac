"""`memory-service ask`: the prompt for a question about stored conversations, explained."""

from __future__ import annotations

from typing import Annotated

import typer

from memory_service.api import render
from memory_service.commands.options import DataDir, ProjectName, read_settings
from memory_service.commands.prompt_view import show_prompt
from memory_service.commands.terminal import stdout
from memory_service.core.errors import InvalidRequest, NotFound
from memory_service.core.models import Conversation
from memory_service.core.settings import Settings
from memory_service.prompts.request import PromptRequest, ScopeName
from memory_service.service import LOCAL_PROJECT, Service


def ask(
    question: Annotated[str, typer.Argument(help="The user's next message.")],
    conversation: Annotated[
        str | None, typer.Option(help="Ask in this conversation, and search only it.")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="Ask in this user's newest conversation, and search all."),
    ] = None,
    data_dir: DataDir = None,
    project: ProjectName = LOCAL_PROJECT,
    token_budget: Annotated[int, typer.Option(help="Tokens of the prompt.", min=300)] = 2_000,
) -> None:
    """Show the prompt for a question: its parts, and why each turn is in it or left out."""
    settings = read_settings(data_dir=data_dir, log_level="error")
    show_prompt_for(
        settings,
        question,
        project=project,
        conversation=conversation,
        user=user,
        token_budget=token_budget,
    )


def show_prompt_for(
    settings: Settings,
    question: str,
    *,
    project: str,
    conversation: str | None,
    user: str | None,
    token_budget: int,
) -> None:
    """Build and show a prompt; raises InvalidRequest unless exactly one scope is given.

    With `user` the user's newest conversation is continued, and all of them are searched.
    """
    if (conversation is None) == (user is None):
        raise InvalidRequest("Give exactly one of --conversation and --user.")
    with Service.open(settings, purpose="memory-service ask") as service:
        project_key = _project(service, project)
        scope: ScopeName = "conversation" if user is None else "user"
        target = conversation or _newest(service, project_key, str(user)).id
        built = service.prompts.build(
            project_key,
            target,
            PromptRequest(
                input=[{"role": "user", "content": question}],
                token_budget=token_budget,
                scope=scope,
            ),
        )
        trace = service.traces.get(project_key, built.trace_id)
    show_prompt(stdout(), render.prompt(built), trace)


def _project(service: Service, name: str) -> int:
    with service.log.read() as snapshot:
        project_key = snapshot.projects.key_of(name)
    if project_key is None:
        raise NotFound(f"There is no project {name!r} in this folder.", param="project")
    return project_key


def _newest(service: Service, project_key: int, user: str) -> Conversation:
    with service.log.read() as snapshot:
        user_key = snapshot.users.key_of(project_key, user)
        if user_key is None:
            raise NotFound(f"No user {user!r}.", param="user")
        page = snapshot.conversations.page(project_key, user_key, None, 1, "desc")
    if not page.data:
        raise NotFound(f"User {user!r} has no conversation.", param="user")
    newest: Conversation = page.data[0]
    return newest
