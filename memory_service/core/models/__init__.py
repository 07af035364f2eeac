"""The values that packages exchange: frozen, without I/O and without types of vendors.

Times are integers: microseconds since the Unix epoch, UTC. `utc_offset_minutes` keeps the offset
that a caller sent with a time, so that an export returns what was sent and "yesterday" can be
resolved in the speaker's own day.

Imports: no other package of the service.
Start reading: `turns` for what is stored, `recall` and `prompts` for what is made of it.
"""

from memory_service.core.models.completions import StoredCompletion
from memory_service.core.models.conversations import Conversation
from memory_service.core.models.deletion import DeletedKind, Receipt, Residue, ResiduePlace
from memory_service.core.models.passages import Passage, PassagePlace, Posting, StoredPassage
from memory_service.core.models.prompts import (
    Dropped,
    DropReason,
    Prompt,
    PromptState,
    PromptTokens,
    RecalledSpan,
    StoredTrace,
)
from memory_service.core.models.recall import Considered, Hit, Outcome, Recall
from memory_service.core.models.scopes import Scope, ScopeMember, ScopeStatistics
from memory_service.core.models.summaries import (
    ModelAnswer,
    NewSummary,
    QueuedConversation,
    Summary,
    SummaryHit,
    SummaryRange,
    SummaryStatus,
)
from memory_service.core.models.tenants import ApiKey, KeyAccess, User
from memory_service.core.models.turns import NewTurn, Turn
from memory_service.core.models.upstreams import HOP_HEADER, NO_CALLER_KEY, CallerKey
from memory_service.core.models.values import (
    MICROSECONDS,
    Integers,
    Matrix,
    Metadata,
    Order,
    Page,
    Vector,
)
from memory_service.core.models.vector_index import (
    Collection,
    IndexRebuild,
    IndexStatus,
    QueuedChange,
    QueuedDeletion,
    QueuedDrop,
    QueuedUpsert,
)
from memory_service.core.models.verification import Finding, Verification

__all__ = [
    "HOP_HEADER",
    "MICROSECONDS",
    "NO_CALLER_KEY",
    "ApiKey",
    "CallerKey",
    "Collection",
    "Considered",
    "Conversation",
    "DeletedKind",
    "DropReason",
    "Dropped",
    "Finding",
    "Hit",
    "IndexRebuild",
    "IndexStatus",
    "Integers",
    "KeyAccess",
    "Matrix",
    "Metadata",
    "ModelAnswer",
    "NewSummary",
    "NewTurn",
    "Order",
    "Outcome",
    "Page",
    "Passage",
    "PassagePlace",
    "Posting",
    "Prompt",
    "PromptState",
    "PromptTokens",
    "QueuedChange",
    "QueuedConversation",
    "QueuedDeletion",
    "QueuedDrop",
    "QueuedUpsert",
    "Recall",
    "RecalledSpan",
    "Receipt",
    "Residue",
    "ResiduePlace",
    "Scope",
    "ScopeMember",
    "ScopeStatistics",
    "StoredCompletion",
    "StoredPassage",
    "StoredTrace",
    "Summary",
    "SummaryHit",
    "SummaryRange",
    "SummaryStatus",
    "Turn",
    "User",
    "Vector",
    "Verification",
]
