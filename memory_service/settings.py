"""The only reader of the environment. Units are in the names; impossible values stop the start."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal, Self

from pydantic import AliasChoices, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from memory_service.errors import StartupError

DEFAULT_CONTEXT_WINDOW = 128_000
"""Tokens, for models that `CONTEXT_WINDOWS` does not know."""

CONTEXT_WINDOWS: dict[str, int] = {
    "gpt-3.5-turbo": 16_385,
    "gpt-4": 8_192,
    "gpt-4-turbo": 128_000,
    "gpt-4o": 128_000,
    "gpt-4.1": 1_047_576,
    "gpt-5": 400_000,
    "o1": 200_000,
    "o3": 200_000,
    "o4-mini": 200_000,
}
"""Context windows in tokens by model name; a name matches its longest prefix in this table."""


def context_window(model: str | None) -> int:
    """Return the context window of a model in tokens, by its longest known prefix."""
    name = (model or "").rpartition("/")[2]
    known = [prefix for prefix in CONTEXT_WINDOWS if name.startswith(prefix)]
    return CONTEXT_WINDOWS[max(known, key=len)] if known else DEFAULT_CONTEXT_WINDOW


class Settings(BaseSettings):
    """Everything that can be set; each field is the environment variable MEMORY_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="MEMORY_", extra="ignore", frozen=True)

    data_dir: Path = Field(
        default_factory=lambda: Path.home() / ".memory_service",
        description="Folder of the turn log and the vector index (created with mode 0700).",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port; 0 takes a free one.")
    log_format: Literal["console", "json"] = Field(
        default="console", description="How log lines look: console or json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe log line that is written."
    )

    max_body_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="Largest request body, in bytes."
    )
    max_nesting: int = Field(
        default=64, ge=4, le=500, description="Deepest nesting of a JSON body, in levels."
    )
    max_text_chars: int = Field(
        default=1_000_000, ge=100, description="Longest text of one item, in characters."
    )
    max_items_per_call: int = Field(
        default=1_000, ge=1, le=10_000, description="Most items in one call."
    )
    max_query_chars: int = Field(
        default=100_000, ge=100, description="Longest search query, in characters."
    )

    retry_window_seconds: int = Field(
        default=600,
        ge=0,
        description="How long a client's retry without a key is recognised, in seconds.",
    )
    idempotency_hours: int = Field(
        default=24, ge=1, description="How long an Idempotency-Key is remembered, in hours."
    )

    passage_words: int = Field(
        default=120, ge=20, le=1_000, description="Longest passage that is embedded, in words."
    )
    passage_overlap_words: int = Field(
        default=20, ge=0, le=200, description="Words that neighbouring passages share."
    )
    neighbour_pause_hours: float = Field(
        default=6.0,
        gt=0,
        description="A longer pause between two turns ends their neighbourhood, in hours.",
    )
    collection_vectors: int = Field(
        default=10_000,
        ge=10,
        description="Vectors of small conversations that share one Chroma collection.",
    )
    index_batch: int = Field(
        default=256, ge=1, le=5_000, description="Vectors written to Chroma at once."
    )

    token_budget: int | None = Field(
        default=None,
        ge=64,
        description="Tokens of a prompt if the request names no budget; else the model's window.",
    )
    context_window: int | None = Field(
        default=None, ge=64, description="Tokens of every model's context window; else a table."
    )
    reserved_output_tokens: int = Field(
        default=1_024,
        ge=0,
        description="Tokens kept free for the answer if the request names none (at most a quarter"
        " of the budget).",
    )
    recent_turns: int = Field(
        default=20, ge=0, le=1_000, description="Most recent turns in a prompt."
    )
    top_k: int = Field(default=10, ge=0, le=100, description="Most recalled turns in a prompt.")
    tiktoken_cache_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "data-gym-cache",
        validation_alias=AliasChoices(
            "tiktoken_cache_dir",
            "MEMORY_TIKTOKEN_CACHE_DIR",
            "TIKTOKEN_CACHE_DIR",
            "DATA_GYM_CACHE_DIR",
        ),
        description="Folder of tiktoken's vocabularies; tiktoken's own variables work too.",
    )
    tiktoken_download: bool = Field(
        default=False, description="Let tiktoken fetch a vocabulary that is not in its cache."
    )

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> Self:
        if self.passage_overlap_words >= self.passage_words:
            raise ValueError(
                "MEMORY_PASSAGE_OVERLAP_WORDS must be smaller than MEMORY_PASSAGE_WORDS"
            )
        return self


def load_settings(**overrides: object) -> Settings:
    """Return the settings of this process; raises StartupError naming each variable at fault."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # validated by the model itself
    except ValidationError as error:
        lines = [
            f"  MEMORY_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
            if problem["loc"]
            else f"  {problem['msg']}"
            for problem in error.errors()
        ]
        raise StartupError("These settings are not usable:\n" + "\n".join(lines)) from error
