"""The tables of the turn log, as the newest migration leaves them.

Invariants, held by the statements in this folder and re-checked by `verify`:

* `turns.seq` is the number of the append within its conversation: it rises by one, is never reused,
  and has holes only where a turn was deleted, or moved to the end together with its answer.
* `turns.active` marks the active branch: the path from the root to `conversations.head_key`. A
  child is appended after its parent, so the active branch has the order of `seq`.
* `turns.raw` is the item's JSON byte for byte as it was sent, without its media: base64 in it is in
  `media`, once for each content, and `turn_media` has its place. Everything else can be re-derived.
* A content in `media` belongs to at least one turn.
* `postings` holds, for each passage, the terms of its text under the conversation's language.
* `conversations.passages` and `.terms` are the number and the summed length of its passages.
* A passage that is not in the vector index has a row in `index_queue`.
* A summary covers the path that ends in the turn `tip_key`, from `first_seq` to `last_seq`; if its
  tip is active, all these turns are. A turn is never deleted without the summaries that cover it.
* `history_index` has a row for each turn, with the hash of its message.
* No table holds text of a turn but `turns`, and none holds terms of it but `postings`; what models
  wrote of turns is in `summaries` alone. `completions` has what callers have asked to store.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite gives automatic keys to INTEGER columns only; PostgreSQL needs BIGINT for 64 bits.
Key = BigInteger().with_variant(Integer, "sqlite")


def _cascade(column: str) -> ForeignKey:
    return ForeignKey(column, ondelete="CASCADE")


properties = Table(
    "properties",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    comment="What the data was made with (embedder, dimension, version of the terms), and what was "
    "learned of models: token corrections, context windows.",
)

key_blocks = Table(
    "key_blocks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("next_key", Key, nullable=False),
    comment="Internal keys are allocated in ranges and never reused: a vector never changes owner.",
)

projects = Table(
    "projects",
    metadata,
    Column("key", Key, primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key", Key, primary_key=True),
    Column("project_key", Key, _cascade("projects.key"), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("hint", String(8), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    # The user that the key acts as; null acts for the whole project. It is no reference to a row:
    # the key must stay bound when the user is deleted, and may be made before the user.
    Column("user_id", String(128)),
)

users = Table(
    "users",
    metadata,
    Column("key", Key, primary_key=True),
    Column("project_key", Key, _cascade("projects.key"), nullable=False),
    Column("id", String(128), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    UniqueConstraint("project_key", "id"),
)

conversations = Table(
    "conversations",
    metadata,
    Column("key", Key, primary_key=True),
    Column("project_key", Key, _cascade("projects.key"), nullable=False),
    Column("id", String(128), nullable=False),
    Column("user_key", Key, _cascade("users.key")),
    Column("title", Text),
    Column("metadata", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("stored_at", BigInteger, nullable=False),
    Column("head_key", Key),
    Column("next_seq", Integer, nullable=False),
    Column("language", String(8)),
    # Totals over its passages: counting 100,000 of them took 6 ms of every recall.
    Column("passages", Integer, nullable=False, server_default="0"),
    Column("terms", BigInteger, nullable=False, server_default="0"),
    # Counts deletions of turns: what was read into memory before one is out of date.
    Column("erasures", Integer, nullable=False, server_default="0"),
    Column("path_changes", Integer, nullable=False, server_default="0"),
    # Whether it is summarised; null leaves that to the settings.
    Column("summaries", Boolean),
    UniqueConstraint("project_key", "id"),
    Index("conversations_by_user", "user_key", "key"),
)

turns = Table(
    "turns",
    metadata,
    Column("key", Key, primary_key=True),
    Column("project_key", Key, _cascade("projects.key"), nullable=False),
    Column("conversation_key", Key, _cascade("conversations.key"), nullable=False),
    Column("id", String(128), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("parent_key", Key),
    Column("tool_group_key", Key),
    Column("active", Boolean, nullable=False),
    Column("gap_before", Boolean, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("name", String(128)),
    Column("text", Text, nullable=False),
    Column("raw", Text, nullable=False),
    Column("metadata", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("utc_offset_minutes", SmallInteger),
    Column("stored_at", BigInteger, nullable=False),
    Column("content_hash", LargeBinary(32), nullable=False),
    UniqueConstraint("project_key", "id"),
    Index("turns_by_path", "conversation_key", "active", "seq"),
)

history_index = Table(
    "history_index",
    metadata,
    Column("turn_key", Key, _cascade("turns.key"), primary_key=True),
    # The user of the conversation; without a user the conversation, negative.
    Column("owner_key", Key, nullable=False),
    Column("conversation_key", Key, nullable=False),
    Column("message_hash", LargeBinary(16), nullable=False),
    Column("from_request", Boolean, nullable=False),
    # The turn that it follows in its client's history, if that is not its parent; 0 for none.
    Column("follows_key", Key),
    Index("history_index_by_hash", "owner_key", "message_hash", "conversation_key", "turn_key"),
    comment="Finds the turns that a client sends again, and how its history goes on from turn to "
    "turn.",
)

media = Table(
    "media",
    metadata,
    Column("key", Key, primary_key=True),
    Column("project_key", Key, _cascade("projects.key"), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("size", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    UniqueConstraint("project_key", "hash"),
    comment="Images, audio and files; hash is SHA-256 of their base64.",
)

turn_media = Table(
    "turn_media",
    metadata,
    Column("turn_key", Key, _cascade("turns.key"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("start", Integer, nullable=False),
    Column("style", SmallInteger, nullable=False),
    Column("media_key", Key, ForeignKey("media.key"), nullable=False),
    Index("turn_media_by_media", "media_key"),
    comment="Where media were cut out of turns.raw: start counts characters of what is left.",
)

completions = Table(
    "completions",
    metadata,
    Column("key", Key, primary_key=True),
    Column("project_key", Key, _cascade("projects.key"), nullable=False),
    Column("conversation_key", Key, _cascade("conversations.key")),
    Column("id", String(256), nullable=False),
    Column("model", Text),
    Column("metadata", Text, nullable=False),
    Column("completion", Text, nullable=False),
    Column("messages", Text, nullable=False),
    Column("stored_at", BigInteger, nullable=False),
    UniqueConstraint("project_key", "id"),
    Index("completions_by_conversation", "conversation_key"),
    comment="Chat completions that callers have asked to store, with the messages they sent.",
)

tool_calls = Table(
    "tool_calls",
    metadata,
    Column("conversation_key", Key, _cascade("conversations.key"), primary_key=True),
    Column("call_id", String(256), primary_key=True),
    Column("turn_key", Key, _cascade("turns.key"), primary_key=True),
    Index("tool_calls_by_turn", "turn_key"),
    comment="Which turn made a tool call: a result joins the tool group of its call.",
)

passages = Table(
    "passages",
    metadata,
    Column("key", Key, primary_key=True),
    Column("conversation_key", Key, _cascade("conversations.key"), nullable=False),
    Column("turn_key", Key, _cascade("turns.key"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    Column("vector", LargeBinary),
    Index("passages_by_turn", "turn_key"),
    Index("passages_by_conversation", "conversation_key"),
    comment="start and end count characters of turns.text; length counts terms; vector is float16.",
)

postings = Table(
    "postings",
    metadata,
    Column("conversation_key", Key, _cascade("conversations.key"), primary_key=True),
    Column("term", String(64), primary_key=True),
    Column("passage_key", Key, primary_key=True),
    Column("tf", Integer, nullable=False),
    # The passage's length again: with it BM25 reads this table alone, one range per term.
    Column("length", Integer, nullable=False),
    sqlite_with_rowid=False,
)

collections = Table(
    "collections",
    metadata,
    Column("key", Key, primary_key=True),
    Column("project_key", Key, _cascade("projects.key"), nullable=False),
    Column("conversation_key", Key),
    Column("vectors", Integer, nullable=False),
    comment="Collections of the vector index; one with a conversation_key belongs to it alone.",
)

placements = Table(
    "placements",
    metadata,
    Column("conversation_key", Key, _cascade("conversations.key"), primary_key=True),
    Column("collection_key", Key, _cascade("collections.key"), nullable=False),
    Index("placements_by_collection", "collection_key"),
)

index_queue = Table(
    "index_queue",
    metadata,
    Column("key", Key, primary_key=True),
    Column("action", String(8), nullable=False),
    Column("passage_key", Key),
    Column("conversation_key", Key),
    Column("collection_key", Key),
    Column("attempts", Integer, nullable=False),
    Column("error", Text),
    Column("parked_at", BigInteger),
    Index("index_queue_by_conversation", "conversation_key"),
    Index("index_queue_by_passage", "passage_key"),
    comment="Changes that the vector index has not applied yet: upsert, delete or drop.",
)

residues = Table(
    "residues",
    metadata,
    Column("key", Key, primary_key=True),
    Column("place", String(12), nullable=False),
    Column("collection_key", Key),
    Column("conversation_key", Key),
    Column("erased", Boolean, nullable=False),
    Index("residues_by_conversation", "conversation_key"),
    comment="Places where bytes of deleted (or moved) data may remain until files are rewritten.",
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("project_key", Key, _cascade("projects.key"), primary_key=True),
    Column("idempotency_key", String(256), primary_key=True),
    Column("request_hash", LargeBinary(32), nullable=False),
    Column("conversation_key", Key),
    Column("first_seq", Integer),
    Column("last_seq", Integer),
    Column("result", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("idempotency_by_conversation", "conversation_key"),
    comment="What a keyed request stored, by reference: the answer is rendered again from the log.",
)

receipts = Table(
    "receipts",
    metadata,
    Column("key", Key, primary_key=True),
    Column("project_key", Key, _cascade("projects.key"), nullable=False),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("counts", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Whose data was deleted; no reference, since the user may be what was deleted.
    Column("user_key", Key),
    comment="What was deleted, in numbers, without names and texts.",
)

summaries = Table(
    "summaries",
    metadata,
    Column("key", Key, primary_key=True),
    Column("conversation_key", Key, _cascade("conversations.key"), nullable=False),
    Column("id", String(64), nullable=False, unique=True),
    Column("level", Integer, nullable=False),
    Column("first_seq", Integer, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("tip_key", Key, _cascade("turns.key"), nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("vector", LargeBinary),
    UniqueConstraint("conversation_key", "level", "first_seq", "tip_key"),
    Index("summaries_by_tip", "tip_key"),
    comment="What a model wrote of turns (level 1) or of summaries (above); vector is float16.",
)

summary_queue = Table(
    "summary_queue",
    metadata,
    Column("conversation_key", Key, _cascade("conversations.key"), primary_key=True),
    # Rises with each request, so that a request during the work on an earlier one is kept.
    Column("requests", Integer, nullable=False),
    comment="Conversations that may have something to summarise.",
)

prompt_states = Table(
    "prompt_states",
    metadata,
    Column("conversation_key", Key, _cascade("conversations.key"), primary_key=True),
    Column("window_seq", Integer),
    Column("input_parent_key", Key),
    Column("input_hash", LargeBinary(32)),
    Column("recalled", Text, nullable=False),
    Column("left_out", Text, nullable=False),
    Column("model", Text),
    Column("summaries", Text, nullable=False, server_default="[]"),
    comment="How a conversation's last prompt was built; keys and scores, no text.",
)

traces = Table(
    "traces",
    metadata,
    Column("key", Key, primary_key=True),
    Column("project_key", Key, _cascade("projects.key"), nullable=False),
    Column("id", String(64), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Index("traces_by_age", "project_key", "created_at"),
    comment="How prompts and searches came about; keys and scores, no text.",
)

responses = Table(
    "responses",
    metadata,
    Column("key", Key, primary_key=True),
    Column("project_key", Key, _cascade("projects.key"), nullable=False),
    Column("conversation_key", Key, _cascade("conversations.key"), nullable=False),
    Column("id", String(128), nullable=False),
    Column("tip_key", Key, nullable=False),
    Column("input_keys", Text, nullable=False),
    Column("output_keys", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("project_key", "id"),
    Index("responses_by_conversation", "conversation_key"),
    comment="What the Responses API returned; its input and output are turns, by key.",
)
