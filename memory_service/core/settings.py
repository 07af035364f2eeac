"""The settings. No other module reads the environment.

Names end with their unit where they have one. The service does not start with an impossible value.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    Json,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from memory_service.core.errors import StartupError
from memory_service.core.upstream_entries import NAME, UpstreamEntry, read_upstreams


def _split(value: object) -> object:
    """Return the parts of a text that are separated by commas."""
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _upstreams(value: object) -> object:
    return read_upstreams(value, os.environ)


_List = NoDecode, BeforeValidator(_split)
_Origin = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[^/\s?#@*]+)$")]
_HostName = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9_.-]+|\[[0-9a-f:.]+\])$", to_lower=True)
]
_HeaderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*\*?$", to_lower=True)]
_UpstreamName = Annotated[str, StringConstraints(pattern=NAME)]


class Settings(BaseSettings):
    """All settings; each field is the environment variable MEMORY_<FIELD>."""

    # The input of an invalid field may be a key.
    model_config = SettingsConfigDict(
        env_prefix="MEMORY_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(
        default_factory=lambda: Path.home() / ".memory_service",
        description="Folder of the turn log and the vector index. Created with mode 0700.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=8000, ge=0, le=65_535, description="Port to listen on. 0 takes a free port."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="Format of log lines: console or json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Lowest level of log lines that are written: debug, info, warning or error.",
    )

    max_body_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="Largest request body."
    )
    max_nesting: int = Field(
        default=64,
        ge=4,
        le=500,
        description="Deepest nesting of a JSON body. Chat completions may nest 256 levels deep.",
    )
    max_text_chars: int = Field(default=1_000_000, ge=100, description="Longest text of one item.")
    max_items_per_call: int = Field(
        default=1_000, ge=1, le=10_000, description="Largest number of items in one request."
    )
    max_query_chars: int = Field(default=100_000, ge=100, description="Longest search query.")

    retry_window_seconds: int = Field(
        default=600,
        ge=0,
        description="How long a client's retry without an Idempotency-Key is recognised.",
    )
    idempotency_hours: int = Field(
        default=24, ge=1, description="How long an Idempotency-Key is remembered."
    )

    embedder: str = Field(
        default="local",
        pattern=r"^(local|openai|chroma:.+)$",
        description="Embedder: local, openai (any server with OpenAI's /v1/embeddings), or"
        " chroma:NAME (a function of Chroma's registry).",
    )
    embedder_model: str | None = Field(
        default=None, min_length=1, description="Model of the openai embedder."
    )
    embedder_base_url: str | None = Field(
        default=None,
        description="Base URL of the openai embedder, including /v1. Without it, OpenAI is asked.",
    )
    embedder_api_key: SecretStr | None = Field(
        default=None, description="API key of the openai embedder. Servers without keys need none."
    )
    embedder_dimension: int | None = Field(
        default=None,
        ge=1,
        le=65_536,
        description="Dimension of the vectors, sent to the openai embedder with each request."
        " Models with one size refuse it. Without it, the model's own dimension.",
    )
    embedder_timeout_seconds: float = Field(
        default=60.0,
        gt=0,
        allow_inf_nan=False,
        description="Timeout for one batch of passages.",
    )
    embedder_query_timeout_seconds: float = Field(
        default=3.0,
        gt=0,
        allow_inf_nan=False,
        description="Timeout for the vector of a query. Recall continues without the vector.",
    )
    embedder_batch: int = Field(
        default=32,
        ge=1,
        le=2_048,
        description="Largest number of passages in one request to an embedder.",
    )
    embedder_max_input_tokens: int | None = Field(
        default=None,
        ge=16,
        description="Longest text that the embedder accepts. Without it, 8,191 for OpenAI's models,"
        " the limit that a function of Chroma's registry reports, and 512 for others.",
    )
    embedder_config: Json[dict[str, Any]] = Field(
        default_factory=dict,
        validate_default=False,
        description="Configuration of a function of Chroma's registry, as a JSON object.",
    )

    passage_words: int = Field(
        default=120, ge=20, le=1_000, description="Longest passage that is embedded."
    )
    passage_overlap_words: int = Field(
        default=20,
        ge=0,
        le=200,
        description="Overlap of consecutive passages. Must be smaller than MEMORY_PASSAGE_WORDS.",
    )
    neighbour_pause_hours: float = Field(
        default=6.0,
        gt=0,
        allow_inf_nan=False,
        description="A longer pause between two turns ends a segment.",
    )
    exact_scan_max: int = Field(
        # Where the two took equally long: 60,000 vectors are compared in 2 ms, Chroma takes 3 ms
        # and the vectors of the candidates 3 ms more.
        default=150_000,
        ge=0,
        description="Largest scope whose vectors are compared in memory. Chroma is asked for larger"
        " scopes. 0 always asks Chroma.",
    )
    log_cache_mib: int = Field(
        default=64,
        ge=1,
        description="Page cache of the turn log, for each connection in use.",
    )
    log_mmap_mib: int = Field(
        default=256,
        ge=0,
        description="Part of the turn log that may be mapped into memory. 0 maps nothing.",
    )
    vector_cache_mib: int = Field(
        default=256, ge=1, description="Cache of the vectors that are compared in memory."
    )
    traces_kept: int = Field(
        default=10_000, ge=0, description="Largest number of traces that are kept of a project."
    )
    trace_days: float = Field(
        default=7.0, gt=0, allow_inf_nan=False, description="How long a trace is kept."
    )
    collection_vectors: int = Field(
        default=10_000,
        ge=10,
        description="Size of a Chroma collection that small conversations share.",
    )
    index_batch: int = Field(
        default=256,
        ge=1,
        le=5_000,
        description="Number of vectors that are written to Chroma at once.",
    )
    index_restart_vectors: int = Field(
        default=0,
        ge=0,
        description="Chroma's process is restarted after this number of written vectors, which"
        " frees the memory of full collections. 0 never restarts it.",
    )

    token_budget: int | None = Field(
        default=None,
        ge=64,
        description="Token budget of a prompt if the request has none. Without it, the context"
        " window of the model.",
    )
    context_window: int | None = Field(
        default=None,
        ge=64,
        description="Context window of every model. Without it, what was learned of the model, a"
        " table of known models, and 128,000 for others.",
    )
    reserved_output_tokens: int = Field(
        default=1_024,
        ge=0,
        description="Tokens reserved for the answer if the request names none, at most a quarter of"
        " the budget.",
    )
    recent_tokens: int = Field(
        default=4_000, ge=0, description="Most tokens of recent turns in a prompt."
    )
    recent_turns: int = Field(
        default=1_000, ge=0, le=1_000, description="Largest number of recent turns in a prompt."
    )
    top_k: int = Field(
        default=10, ge=0, le=100, description="Largest number of recalled turns in a prompt."
    )
    upstream_base_url: str | None = Field(
        default=None,
        pattern=r"^https?://\S+$",
        description="Base URL of the model server, including /v1: OpenAI, or any server with"
        " OpenAI's chat completions. Without it, only prompts are built.",
    )
    upstream_api_key: SecretStr | None = Field(
        default=None, description="API key of the model server. Servers without keys need none."
    )
    upstream_timeout_seconds: float = Field(
        default=600.0,
        gt=0,
        allow_inf_nan=False,
        description="Longest wait for the next byte of the model server.",
    )
    summaries: bool = Field(
        default=True,
        description="Whether the model server summarises turns that leave the recent window. A"
        " conversation can override it. If it is not set, a public server is not asked"
        " without MEMORY_UPSTREAM_API_KEY.",
    )
    summary_model: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Model that writes summaries. Without it, the model of the conversation's last"
        " prompt.",
    )
    summary_tokens: int = Field(default=300, ge=32, le=2_000, description="Longest summary.")
    summary_token_share: float = Field(
        default=0.15,
        ge=0,
        le=0.5,
        description="Largest share of a prompt's tokens for summaries, without the reserve for the"
        " answer. Recent and recalled turns use what is left.",
    )
    summary_threads: int = Field(
        default=2, ge=1, le=32, description="Number of summaries that are written at the same time."
    )
    upstream_authorization_header: bool = Field(
        default=False,
        description="Whether callers send the API key of the model server in"
        " x-upstream-authorization. The server's own key is then never used.",
    )
    recall_timeout_seconds: float = Field(
        default=5.0,
        gt=0,
        allow_inf_nan=False,
        description="Timeout for the prompt of a chat completion. The client's messages are then"
        " forwarded unchanged.",
    )
    strict_recall: bool = Field(
        default=False,
        description="Whether a chat completion whose prompt cannot be built is refused (503)"
        " instead of forwarded unchanged.",
    )
    tiktoken_cache_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "data-gym-cache",
        validation_alias=AliasChoices(
            "tiktoken_cache_dir",
            "MEMORY_TIKTOKEN_CACHE_DIR",
            "TIKTOKEN_CACHE_DIR",
            "DATA_GYM_CACHE_DIR",
        ),
        description="Folder of tiktoken's vocabularies. TIKTOKEN_CACHE_DIR and DATA_GYM_CACHE_DIR"
        " set it too.",
    )
    tiktoken_download: bool = Field(
        default=False,
        description="Whether tiktoken may download a vocabulary that is not in its cache.",
    )
    upstream_api: Literal["auto", "responses", "chat"] = Field(
        default="auto",
        description="How responses are requested from the model server: from its Responses API, or"
        " from its chat completions. auto asks for a response first, and remembers a server that"
        " has none.",
    )
    default_user: str | None = Field(
        default=None,
        max_length=128,
        pattern=r"^\S([^\x00-\x1f]*\S)?$",
        description="User of chat completions that name no user. For a service that only one person"
        " uses.",
    )
    upstreams: Annotated[
        Mapping[_UpstreamName, UpstreamEntry], NoDecode, BeforeValidator(_upstreams)
    ] = Field(
        default_factory=dict,
        validate_default=False,
        description="Further model servers by name, as a JSON object or the path of a TOML file.",
    )
    upstream_api_version: str | None = Field(
        default=None,
        min_length=1,
        description="The api-version that is sent to the model server, which Azure's paths of"
        " deployments need.",
    )
    upstream_key_header: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9-]+$",
        description="Header that carries the API key of the model server. Without it, api-key for"
        " Azure's hosts and Authorization for others.",
    )
    pass_routes: Annotated[tuple[str, ...], *_List] = Field(
        default=(),
        description="Further routes below /v1 that are passed on with the server's own upstream"
        " key, separated by commas, such as files, GET files/*.",
    )
    max_passed_body_bytes: int = Field(
        default=512 * 1024 * 1024,
        ge=1024,
        description="Largest request body of a route that is passed on unchanged.",
    )
    forwarded_headers: Annotated[tuple[_HeaderName, ...], *_List] = Field(
        default=(),
        description="Further request headers that are sent to the model server, separated by"
        " commas. A name may end with an asterisk.",
    )
    cors_origins: Annotated[tuple[_Origin, ...], *_List] = Field(
        default=(),
        description="Origins of web pages that may call the service, separated by commas, or an"
        " asterisk for all.",
    )
    allowed_hosts: Annotated[tuple[_HostName, ...], *_List] = Field(
        default=(),
        description="Host names besides localhost under which a service without API keys is"
        " called, separated by commas.",
    )
    allowed_clients: Annotated[tuple[IPv4Network | IPv6Network, ...], *_List] = Field(
        default=(),
        description="Private networks besides this machine whose programs may call a service"
        " without API keys, separated by commas. The service may then listen on any address.",
    )
    recent_media_mib: int = Field(
        default=8,
        ge=0,
        le=1_024,
        description="Largest size of the stored images, audio and files in the recent window of a"
        " prompt. A text stands for older ones. Those that the client sends again are not counted.",
    )

    @model_validator(mode="after")
    def _clients_are_private(self) -> Self:
        if not all(network.is_private for network in self.allowed_clients):
            raise ValueError(
                "MEMORY_ALLOWED_CLIENTS takes private networks only, such as 172.17.0.0/16. For"
                " others, create API keys"
            )
        return self

    context_windows: Json[dict[str, Annotated[int, Field(ge=64)]]] = Field(
        default_factory=dict,
        validate_default=False,
        description="Context windows of single models, as a JSON object of names to tokens. `*` in"
        " a name stands for any characters. They precede MEMORY_CONTEXT_WINDOW.",
    )
    upstream_model_lists: bool = Field(
        default=True,
        description="Whether the model server is asked for its list of models in the background, to"
        " learn context windows.",
    )

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Self:
        if self.passage_overlap_words >= self.passage_words:
            raise ValueError(
                "MEMORY_PASSAGE_OVERLAP_WORDS must be smaller than MEMORY_PASSAGE_WORDS"
            )
        return self


_SHOWN_DEFAULTS = {
    "data_dir": "`~/.memory_service`",
    "tiktoken_cache_dir": "`data-gym-cache` in the folder for temporary files",
}
"""Defaults that differ between machines, as docs/settings.md shows them."""


def settings_table() -> str:
    """Return a table of all settings, one per row: variable, default, description."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        value = field.get_default(call_default_factory=True)
        default = _SHOWN_DEFAULTS.get(name, "none" if value in (None, ()) else f"`{value}`")
        rows.append(f"| `MEMORY_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def load_settings(**overrides: object) -> Settings:
    """Return the settings of this process; raises StartupError naming each variable at fault."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # validated by the model itself
    except ValidationError as error:
        lines = [f"  {_place(problem['loc'])}{problem['msg']}" for problem in error.errors()]
        raise StartupError("These settings are not usable:\n" + "\n".join(lines)) from error


def _place(location: Sequence[int | str]) -> str:
    """Return the variable of a problem, and where in its value the problem is."""
    if not location:
        return ""
    variable, *path = map(str, location)
    inside = f" {'.'.join(path)}:" if path else ""
    return f"MEMORY_{variable.upper()}:{inside} "
