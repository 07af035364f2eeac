"""Whether a message calls for memory at all. Pure: an empty block beats a misleading one.

"Thanks!" and "Good morning" match turns of any conversation, and ranking cannot tell that nothing
was asked: its scores only compare turns with each other. So the message itself is looked at. It
calls for no memory if nothing is left of it without the words of small talk; or if it speaks of
nobody's own affairs, names nothing that the scope knows, and shares next to none of its weight with
any turn ("Write a haiku about autumn").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache

from memory_service.analyser import terms

MIN_SHARED_WEIGHT = 0.2
"""Of an impersonal message's word weights, what the best passage must share.

Fitted on the bundled conversation: of its questions none is lost; of thirty messages that ask for
nothing, all twenty that are small talk recall nothing, and a few of the other ten.
"""

# Languages whose words are below; a message in another one is only asked whether it has any words.
_SMALL_TALK = {
    "en": "thanks thank ok okay cool haha hahaha lol funny good morning evening night day "
    "afternoon "
    "hello hi hey bye goodbye see later tomorrow today great perfect nice fine well sure yes yeah "
    "yep no nope please welcome sorry sense make hmm think joke weather lovely wonderful awesome "
    "amazing go ahead right got it know like really oh wow window wrong ignore enjoy "
    "weekend sleep tell",
    "de": "danke dankeschön ok okay super toll prima gut guten morgen abend nacht tag hallo"
    " hi hey "
    "tschüss bis bald später heute klar ja jo nein bitte gern gerne entschuldigung sorry haha "
    "lustig schön wunderbar perfekt wetter witz genau stimmt alles wochenende",
    "fr": "merci beaucoup ok super génial parfait bien bon bonne bonjour bonsoir nuit "
    "journée soirée "
    "salut coucou adieu revoir bientôt tard demain aujourd'hui oui non désolé pardon haha drôle "
    "temps blague accord plaisir week-end s'il plaît",
    "es": "gracias muchas ok vale genial perfecto bien bueno buenos buenas días tardes "
    "noches hola "
    "adiós hasta luego mañana hoy sí no perdón disculpa jaja gracioso tiempo chiste acuerdo claro "
    "favor",
    "it": "grazie mille ok perfetto bene buono buon buongiorno buonasera buonanotte ciao "
    "salve presto "
    "domani oggi sì no scusa haha divertente tempo barzelletta certo prego favore",
    "pt": "obrigado obrigada ok ótimo perfeito bem bom boa dia tarde noite olá oi tchau até logo "
    "amanhã hoje sim não desculpa haha engraçado tempo piada claro favor",
    "nl": "dank bedankt oké ok leuk top perfect goed goede morgen avond nacht dag hallo hoi doei "
    "later morgen vandaag ja nee sorry haha grappig weer mop graag alsjeblieft",
}
_PERSONAL = {
    "en": r"i|i'\w+|my|mine|myself|we|we'\w+|our|ours|remember|remind|did you|have you"
    r"|you (?:said|told|suggested|recommended|promised|mentioned|wrote|gave)",
    "de": r"ich|mir|mich|mein\w*|wir|uns|unser\w*|erinner\w*|hast du|haben sie|du \w+t hast",
    "fr": r"je|j'\w+|moi|mon|ma|mes|nous|notre|nos|rappel\w*|as-tu|avez-vous",
    "es": r"yo|mi|mis|mío|mía|nosotros|nuestr\w+|recuerd\w*|tengo|dije|me dijiste|era mi",
    "it": r"io|mio|mia|miei|mie|noi|nostr\w+|ricord\w*|ho|avevo|mi hai",
    "pt": r"eu|meu|minha|meus|minhas|nós|nosso\w*|nossa\w*|lembr\w*|tenho",
    "nl": r"ik|mij|mijn|wij|we|ons|onze|herinner\w*|heb je",
}
_NAME = re.compile(r"(?<=[\w,;:')] )[A-Z]\w+")


def calls_for_memory(
    text: str,
    languages: Collection[str | None],
    weights: Mapping[str, float],
    known_terms: Collection[str],
    best: float,
) -> bool:
    """Return whether a message asks for something that was said.

    `weights` are the inverse document frequencies of its terms in the scope, `known_terms` those
    that occur there, `best` is the highest BM25 score of any passage; all in the analysis of the
    scope's `languages`.
    """
    known = [language for language in languages if language in _SMALL_TALK] or ["en"]
    telling = {
        term
        for language in known
        for term in terms(text, language)
        if term not in _small_talk(language)
    }
    if not telling:
        return False
    if any(language not in _SMALL_TALK for language in languages if language not in (None, "und")):
        return True
    if any(_personal(language).search(text) for language in known):
        return True
    names = {term for name in _NAME.findall(text) for term in terms(name, known[0])}
    if not names.isdisjoint(known_terms):
        return True
    weight = sum(weights.get(term, 0.0) for term in telling)
    return weight > 0.0 and best / weight >= MIN_SHARED_WEIGHT


@cache
def _small_talk(language: str) -> frozenset[str]:
    return frozenset(terms(_SMALL_TALK[language], language))


@cache
def _personal(language: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{_PERSONAL[language]})\b", re.IGNORECASE)
