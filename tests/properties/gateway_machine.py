"""Clients that talk through the gateway at random, and what must hold after every request."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, ClassVar, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.properties.conversation_model import (
    COMMON,
    PNG,
    PREFIXES,
    Identity,
    Messages,
    Said,
    Session,
    identities,
    plain_text,
)
from tests.support.chatting import RunningGateway, new_id
from tests.support.storing import eventually
from tests.support.upstream import (
    MESSAGE_TOKENS,
    Body,
    Reply,
    but,
    calls,
    fails,
    says,
    template_problem,
    text_of,
)

BUDGET, ANSWER = 1_200, 60
MODEL = "m"
SYSTEM = {"role": "system", "content": "You are Wren.  Be kind."}
TITLE = (
    "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"
    "### Chat History:\n<chat_history>\nUSER: hello\nASSISTANT: hello\n</chat_history>"
)

PICK = st.integers(0, 1_000)
FORMS = st.sampled_from(["string", "parts", "image", "named"])
KINDS = st.sampled_from(["own conversation", "same conversation", "same user"])

_NUMBERS = count(1)


class TextEncoder(Protocol):
    """Counts the tokens of a text."""

    def encode_length(self, text: str) -> int:
        """Return the number of tokens."""
        ...


class GatewayMachine(RuleBasedStateMachine):
    """Sessions of clients, and a model of what was said in them.

    A subclass names the running service, and what counts the tokens of a text.
    """

    chat: ClassVar[RunningGateway]
    counter: ClassVar[TextEncoder]

    def __init__(self) -> None:
        super().__init__()
        self.upstream = self.chat.upstream
        self.upstream.reset()
        self.upstream.count = lambda body: _tokens(body, self.counter)
        self.upstream.max_tokens = BUDGET
        self.upstream.answer = self._answer
        self.common_answer: str | None = None
        self.said = Said()
        self.sessions: list[Session] = []
        self.is_consistent = True
        self.user, self.shared = f"u-{new_id()}", f"shared-{new_id()}"

    @initialize(strings_only=st.booleans(), signs=st.booleans())
    def begin(self, *, strings_only: bool, signs: bool) -> None:
        """Choose what the upstream requires."""
        self.upstream.strings_only, self.upstream.signs = strings_only, signs
        self._begin("own conversation", "none")

    @rule(kind=KINDS, prefix=st.sampled_from(list(PREFIXES)))
    def begin_session(self, kind: str, prefix: str) -> None:
        """Begin a session: in a conversation of its own, or beside others."""
        if kind == "same conversation" and prefix == "none":
            prefix = "greeting"
        self._begin(kind, prefix)

    def _begin(self, kind: str, prefix: str) -> None:
        conversation = self.shared if kind == "same conversation" else new_id()
        headers, fields, scope = (
            ({}, {"user": self.user}, {"user_id": self.user})
            if kind == "same user"
            else (
                {"x-conversation-id": conversation},
                {},
                {"conversation_id": conversation},
            )
        )
        is_alone = kind == "own conversation"
        self.sessions.append(Session(headers, fields, scope, PREFIXES[prefix], is_alone))

    @rule(
        pick=PICK,
        form=FORMS,
        is_common=st.booleans(),
        has_common_answer=st.booleans(),
        stream=st.booleans(),
    )
    def say(
        self, pick: int, form: str, *, is_common: bool, has_common_answer: bool, stream: bool
    ) -> None:
        """Send the whole history and a new message."""
        session = self._pick(pick)
        if not session.is_findable:
            return
        self.common_answer = COMMON[0] if has_common_answer else None
        new = self._message(form, COMMON[pick % 2] if is_common else None)
        self._say(session, new, [*session.prefix, *session.history, new], stream=stream)

    @rule(pick=PICK, keep=st.integers(0, 6), is_common=st.booleans())
    def say_after_end_of_history(self, pick: int, keep: int, *, is_common: bool) -> None:
        """Send the end of the history and a new message; alone, it may repeat an older one."""
        session = self._pick(pick)
        keep = keep if session.is_alone else max(keep, 2)
        if session.waits or not session.is_distinct or len(session.history) <= keep:
            return
        kept = session.history[len(session.history) - keep :]
        while kept and kept[0]["role"] == "tool":
            kept = kept[1:]
        if len(kept) < 2 and not session.is_alone:
            return
        last = [plain_text(entry) for entry in session.history if entry["role"] == "user"][-1:]
        text = COMMON[pick % 2] if is_common and not kept and last != [COMMON[pick % 2]] else None
        new = self._message("string", text)
        self._say(session, new, [*kept, new])

    @rule(pick=PICK)
    def say_after_summary(self, pick: int) -> None:
        """Send a summary of the client's own, the last exchange and a new message."""
        session = self._pick(pick)
        last = session.history[-2:]
        roles = [entry["role"] for entry in last]
        if roles != ["user", "assistant"] or not session.is_distinct:
            return
        summary = [
            {"role": "user", "content": "Our talk so far, in short: much was said."},
            {"role": "assistant", "content": "Understood."},
        ]
        new = self._message("string")
        self._say(session, new, [*summary, *last, new])

    @rule(pick=PICK, stream=st.booleans())
    def ask_again(self, pick: int, *, stream: bool) -> None:
        """Send the history up to the last message of the user: another answer, or the first."""
        session = self._pick(pick)
        users = [n for n, entry in enumerate(session.history) if entry["role"] == "user"]
        if not users or (Identity.of(session.history[users[-1]]).is_common):
            return
        if not users[-1] and not session.waits and (session.began_anew or not session.headers):
            return  # A first message alone: of another conversation, or one that is said twice.
        self.said.leave(session.history[users[-1] + 1 :])
        session.history = session.history[: users[-1] + 1]
        self._ask(session, [*session.prefix, *session.history], stream=stream)

    @rule(pick=PICK, position=PICK)
    def edit(self, pick: int, position: int) -> None:
        """Replace a message of the user and everything after it."""
        session = self._pick(pick)
        users = [n for n, entry in enumerate(session.history) if entry["role"] == "user"]
        if not users:
            return
        edited = users[position % len(users)]
        self.said.leave(session.history[edited:])
        session.history = session.history[:edited]
        session.began_anew = session.began_anew or not edited
        if not any(entry["role"] == "assistant" for entry in session.history):
            # Without an answer before it, an edit cannot be told from another session.
            session.is_alone = False
        new = self._message("string")
        self._say(session, new, [*session.prefix, *session.history, new])

    @rule(pick=PICK, parallel=st.integers(1, 2), rounds=st.integers(1, 2), stream=st.booleans())
    def use_tools(self, pick: int, parallel: int, rounds: int, *, stream: bool) -> None:
        """Let the model call tools, and send the results."""
        session = self._pick(pick)
        if not session.is_findable:
            return
        new = self._message("string")
        self.upstream.then(*[_calling(parallel)] * rounds)
        self._say(session, new, [*session.prefix, *session.history, new], stream=stream)
        while session.history[-1].get("tool_calls"):
            results = [
                self._result(call["id"], with_image=parallel == 2)
                for call in session.history[-1]["tool_calls"]
            ]
            session.history += results
            self.said.add(session, results)
            self._ask(session, [*session.prefix, *session.history], stream=stream)

    @rule(pick=PICK, keeps=st.booleans())
    def stop_answer(self, pick: int, *, keeps: bool) -> None:
        """Disconnect in the middle of an answer; the client keeps the part or drops it."""
        session = self._pick(pick)
        if not session.is_findable:
            return
        if self.upstream.signs:
            return  # Nobody can send back the signature of half an answer.
        new = self._message("string")
        part = f"part {next(_NUMBERS)} of "
        self.upstream.then(but(says(part + "an answer"), stall_after=2, chunk_chars=len(part)))
        session.history.append(new)
        self.said.add(session, [new])
        body = self._body(session, [*session.prefix, *session.history], stream=True)
        received = b""
        with self.chat.http.stream(
            "POST", "/v1/chat/completions", json=body, headers=session.headers
        ) as response:
            assert response.status_code == 200, response.read()
            session.conversation = response.headers["x-conversation-id"]
            chunks = response.iter_raw()
            while part.encode() not in received:
                received += next(chunks)
        stored = {"role": "assistant", "content": part}
        eventually(lambda: Identity.of(stored) in self._stored())
        self.said.add(session, [stored])
        if keeps:
            session.history.append(stored)
        else:
            self.said.leave([stored])

    @rule(pick=PICK, status=st.sampled_from([0, 429, 500]))
    def fail_answer(self, pick: int, status: int) -> None:
        """Send a message whose answer never comes."""
        session = self._pick(pick)
        if not session.is_findable:
            return
        new = self._message("string")
        self.upstream.then(but(says("lost"), cut_after=0) if status == 0 else fails(status))
        session.history.append(new)
        self.said.add(session, [new])
        body = self._body(session, [*session.prefix, *session.history], stream=False)
        response = self.chat.http.post(
            "/v1/chat/completions", json=body, headers=dict(session.headers)
        )
        assert response.status_code == (status or 502)

    @rule(pick=PICK)
    def ask_for_title(self, pick: int) -> None:
        """Send a request that is no part of the talk."""
        session = self._pick(pick)
        before = self._stored()
        body = self._body(session, [{"role": "user", "content": TITLE}], stream=False)
        headers = dict(session.headers)
        response = self.chat.http.post("/v1/chat/completions", json=body, headers=headers)
        assert response.status_code == 200
        assert self._stored() == before, "a request for a title was stored"

    def teardown(self) -> None:
        """Check that everything said is stored once, and is on an active branch or searchable."""
        if not self.is_consistent:
            return  # A step has failed: its own error is reported.
        stored = self._stored()
        for identity, times in self.said.times.items():
            if identity.is_common:
                assert 1 <= stored[identity] <= times, f"{identity} is stored too often"
            else:
                assert stored[identity] == 1, f"{identity} is stored {stored[identity]} times"
        active = self._stored(only_active=True)
        for identity in self.said.searchable():
            if not active[identity]:
                assert self._is_found(identity), f"{identity} can no longer be recalled"

    def _say(
        self,
        session: Session,
        new: dict[str, Any],
        sent: Messages,
        *,
        stream: bool = False,
    ) -> None:
        session.history.append(new)
        self.said.add(session, [new])
        self._ask(session, sent, stream=stream)

    def _ask(self, session: Session, sent: Messages, *, stream: bool = False) -> None:
        """Send messages, take the answer, and check what was forwarded and stored."""
        self.is_consistent = False
        refused = len(self.upstream.refused)
        body = self._body(session, sent, stream=stream)
        answer, headers = self._streamed(body, session) if stream else self._posted(body, session)
        assert not self.upstream.refused[refused:], self.upstream.refused[refused:]
        assert "x-memory-error" not in headers
        session.conversation = headers["x-conversation-id"]
        session.history.append(answer)
        self.said.add(session, [answer])
        _check_forwarded(self.upstream.last.messages, sent)
        self._check_active_branch(session)
        self.is_consistent = True

    def _body(self, session: Session, sent: Messages, *, stream: bool) -> dict[str, Any]:
        # Two messages of the user in a row are the client's own matter.
        self.upstream.strict = template_problem(sent) is None
        messages = [SYSTEM, *sent]
        return {
            "model": MODEL,
            "messages": messages,
            "max_tokens": ANSWER,
            **({"stream": True} if stream else {}),
            **session.fields,
        }

    def _posted(
        self, body: dict[str, Any], session: Session
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        headers = dict(session.headers)
        response = self.chat.http.post("/v1/chat/completions", json=body, headers=headers)
        assert response.status_code == 200, response.text
        return response.json()["choices"][0]["message"], response.headers

    def _streamed(
        self, body: dict[str, Any], session: Session
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        response = self.chat.http.post(
            "/v1/chat/completions", json=body, headers=dict(session.headers)
        )
        assert response.status_code == 200, response.text
        lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
        return _assembled([json.loads(line) for line in lines]), response.headers

    def _check_active_branch(self, session: Session) -> None:
        """Check that the active branch ends with the client's history.

        Where others talk in the same conversation, their turns may be in between.
        """
        own = identities(session.history)
        active = [
            Identity.of(entry)
            for turn in self.chat.all_turns(str(session.conversation))
            if turn.active
            and (
                (entry := json.loads(turn.raw)).get("status") != "incomplete"
                or Identity.of(entry) in own
            )
        ]
        if session.is_alone:
            assert active[-len(own) :] == own
        else:
            rest = iter(active)
            assert all(identity in rest for identity in own), f"{own} is not within {active}"
            assert active[-1] == own[-1]

    def _stored(self, *, only_active: bool = False) -> Counter[Identity]:
        """Return what the log has, and how often."""
        return Counter(
            Identity.of(json.loads(turn.raw))
            for conversation in self._conversations()
            for turn in self.chat.all_turns(conversation)
            if turn.active or not only_active
        )

    def _conversations(self) -> Sequence[str]:
        """Return the ids of all conversations of the sessions, also of those that failed."""
        with self.chat.log.read() as snapshot:
            project = snapshot.projects.key_of("local") or 0
            user = snapshot.users.key_of(project, self.user)
            newest = [] if user is None else snapshot.conversations.newest(project, user, 1_000)
        named = {session.headers.get("x-conversation-id") for session in self.sessions}
        return sorted({*filter(None, named), *(stored.id for stored in newest)})

    def _is_found(self, identity: Identity) -> bool:
        query = {"query": identity.text, "top_k": 20, **self.said.scopes[identity]}
        response = self.chat.http.post("/v1/search", json=query).raise_for_status()
        return any(hit["text"].strip() == identity.text for hit in response.json()["data"])

    def _pick(self, pick: int) -> Session:
        return self.sessions[pick % len(self.sessions)]

    def _answer(self, _: Body) -> Reply:
        text = self.common_answer or _sentence("Reply")
        self.common_answer = None
        return Reply([{"role": "assistant", "content": text}])

    def _message(self, form: str, text: str | None = None) -> dict[str, Any]:
        """Return a new message of the user."""
        text = text or _sentence("Note")
        if form == "named":
            return {"role": "user", "content": text, "name": "ada"}
        if form == "string" or self.upstream.strings_only:
            return {"role": "user", "content": text}
        parts: list[Any] = [{"type": "text", "text": text}]
        if form == "image":
            parts.append({"type": "image_url", "image_url": {"url": PNG}})
        return {"role": "user", "content": parts}

    def _result(self, call_id: str, *, with_image: bool) -> dict[str, Any]:
        content: Any = _sentence("Page")
        if with_image and not self.upstream.strings_only:
            image = {"type": "image_url", "image_url": {"url": PNG}}
            content = [{"type": "text", "text": content}, image]
        return {"role": "tool", "tool_call_id": call_id, "content": content}


def _calling(parallel: int) -> Callable[[Body], Reply]:
    return calls(*[("look_up", {"page": n}) for n in range(parallel)])


def _sentence(kind: str) -> str:
    number = next(_NUMBERS)
    place = f"room r{number}y below the old clock tower, behind the door with the brass handle"
    return f"{kind} {number}: parcel p{number}x lies in {place}; please remember this for me."


def _tokens(body: Body, counter: TextEncoder) -> int:
    """Count the tokens of texts and tool calls as a server does that reads images for nothing."""
    return sum(
        MESSAGE_TOKENS
        + counter.encode_length(text_of(message))
        + sum(
            counter.encode_length(call["function"]["name"] + call["function"]["arguments"])
            for call in message.get("tool_calls") or ()
        )
        for message in body["messages"]
    )


def _assembled(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the message of a stream: texts are joined, tool calls too, other fields kept."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    tool_calls: dict[int, dict[str, Any]] = {}
    for delta in (choice["delta"] for chunk in chunks for choice in chunk.get("choices") or ()):
        for name, value in delta.items():
            if name == "tool_calls":
                for piece in value:
                    _extend_call(tool_calls, piece)
            elif name in {"content", "reasoning_content"} and value is not None:
                message[name] = (message.get(name) or "") + value
            elif name not in {"role", "content"}:
                message[name] = value
    if tool_calls:
        message["tool_calls"] = list(tool_calls.values())
    return message


def _extend_call(tool_calls: dict[int, dict[str, Any]], piece: Mapping[str, Any]) -> None:
    if piece["index"] not in tool_calls:
        tool_calls[piece["index"]] = {key: piece[key] for key in piece if key != "index"}
    else:
        function = tool_calls[piece["index"]]["function"]
        function["arguments"] += piece["function"]["arguments"]


def _check_forwarded(forwarded: Messages, sent: Messages) -> None:
    """Check that a prompt has the client's own messages as it sent them."""
    own = {identity for identity in identities(sent) if not identity.is_common}
    for message in forwarded:
        if message["role"] in {"assistant", "tool"} and Identity.of(message) in own:
            assert message in sent, f"{message} was not sent so"
    newest = forwarded[-1]
    assert plain_text(newest).endswith(plain_text(sent[-1]))
    if plain_text(newest) == plain_text(sent[-1]):
        # Otherwise it may be joined with an unanswered message of somebody else.
        assert newest.get("name") == sent[-1].get("name")
    parts = [part for part in _parts(sent[-1]) if part["type"] != "text"]
    assert [part for part in _parts(newest) if part["type"] != "text"] == parts
    assert forwarded[0] == SYSTEM


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return list(content) if isinstance(content, list) else []
