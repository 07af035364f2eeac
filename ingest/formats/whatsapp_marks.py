"""What WhatsApp writes in place of media, and about messages: in the language of the phone."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

OWN_WORDS = "\u200e"
"""Stands before what WhatsApp itself put into a message, on some phones."""

# The last or first words of "image omitted", "Bild weggelassen", "imagen omitida", …
_OMITTED = frozenset(
    {
        *("omitted", "weggelassen", "ausgeschlossen", "ausgelassen"),
        *("omitida", "omitido", "omitidos", "omis", "omise", "absent", "absente"),
        *("omesso", "omessa", "omessi", "ocultada", "ocultado", "oculta", "oculto"),
        *("weggelaten", "utelämnad", "utelämnat", "udeladt", "utelatt", "pominięto"),
        *("edilmedi", "пропущено", "отсутствует", "опущено"),
    }
)
_OMITTED_UNSPACED = ("省略", "未添加", "생략", "제외", "含まれていません")
_DELETED = (
    "this message was deleted",
    "you deleted this message",
    "this message was deleted by admin",
    "diese nachricht wurde gelöscht",
    "du hast diese nachricht gelöscht",
    "se eliminó este mensaje",
    "este mensaje fue eliminado",
    "eliminaste este mensaje",
    "ce message a été supprimé",
    "vous avez supprimé ce message",
    "questo messaggio è stato eliminato",
    "hai eliminato questo messaggio",
    "mensagem apagada",
    "essa mensagem foi apagada",
    "você apagou esta mensagem",
    "dit bericht is verwijderd",
    "u hebt dit bericht verwijderd",
    "сообщение удалено",
    "данное сообщение удалено",
    "вы удалили данное сообщение",
    "bu mesaj silindi",
)
_EDITED_STEMS = (
    *("edited", "bearbeitet", "editó", "editado", "editada", "modifié", "modificato"),
    *("bewerkt", "redigera", "изменено", "düzenlen"),
)
_EDITED = re.compile(r"\s*<([^<>\n]{4,60})>$")
_ENCLOSED = re.compile(r"<([^<>\n]{2,80})>")
_ATTACHED_ENCLOSED = re.compile(r"<([^<>:\n]{2,20}: [^<>\n]+\.\w{2,5})>")
_ATTACHED_BEFORE = re.compile(r"(\S[^\n]*\.\w{2,5} \([^()\n]{4,40}\))(?=\n|$)")
_KEPT = re.compile(r"(?:POLL|OPTION|Location|Standort|Ubicación|Localisation|Posizione):|https?://")

Kind = Literal["text", "media", "system", "deleted"]


class Said(NamedTuple):
    """What a message says, of which kind that is, and whether it was changed later."""

    kind: Kind
    text: str
    is_edited: bool = False


def read_text(raw: str) -> Said:
    """Return what a message says; media leave a marker in brackets, in the words of the file."""
    is_own = raw.startswith(OWN_WORDS)
    text = raw.replace(OWN_WORDS, "").strip()
    if text.casefold().rstrip(".!") in _DELETED:
        return Said("deleted", text)
    edited = _EDITED.search(text)
    if edited and any(stem in edited[1].casefold() for stem in _EDITED_STEMS):
        return Said("text", text[: edited.start()], is_edited=True)
    marker = _media(text, is_own=is_own)
    if marker is not None:
        return Said("media", marker)
    return Said("system" if is_own and not _KEPT.match(text) else "text", text)


def _media(text: str, *, is_own: bool) -> str | None:
    """Return a text with what stands for media in brackets; None if nothing does."""
    if whole := _ENCLOSED.fullmatch(text):
        return f"[{whole[1]}]"
    if attached := _ATTACHED_BEFORE.match(text):
        return f"[{attached[1]}]{text[attached.end() :]}"
    if _ATTACHED_ENCLOSED.search(text):
        return _ATTACHED_ENCLOSED.sub(r"[\1]", text)
    return f"[{text}]" if _is_omitted(text) and (is_own or text.endswith(" omitted")) else None


def _is_omitted(text: str) -> bool:
    words = text.casefold().split()
    is_phrase = 1 < len(words) <= 5 and bool(_OMITTED & {words[0], words[-1]})
    return is_phrase or (len(text) < 20 and any(one in text for one in _OMITTED_UNSPACED))
