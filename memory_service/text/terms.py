"""Turn text into the terms of the inverted index, in whatever language it is written.

The same function serves turns and queries, so two texts meet when they yield an equal term:

- Words are case- and width-folded. With a known language they are stemmed and its function words
  are dropped; with `None` they are kept as they are, because a wrong stemmer loses more than none.
- Accents of Latin and Greek letters never survive into a term, so "café" and "cafe" meet. The
  stemmer sees them first where its suffix rules need them.
- Scripts that do not separate words, and Hangul, whose particles stick to the noun, become bigrams
  of characters, where a character is a letter with its marks.
- Identifiers ("snake_case", "v1.2.3", "https://a.org/b") are kept whole and in parts.

Every function is linear in its text, accepts any `str` and may be called from many threads.
Terms are never empty and have at most `MAX_TERM_CHARACTERS` characters.
"""

# ruff: noqa: RUF001, RUF003 - words of other languages are meant to look like that

import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import regex  # type: ignore[import-untyped]
import Stemmer
from py3langid.langid import MODEL_FILE, LanguageIdentifier

# Raise it whenever the same text yields other terms, so that an old index can be re-derived.
ANALYSER_VERSION = 1

# Longer words are data (base64, hashes), not speech: nobody recalls by them.
MAX_TERM_CHARACTERS = 64

# A longer unbroken identifier is read only this far: the head of a URL names it, a blob has no end.
MAX_IDENTIFIER_CHARACTERS = 256

# Measured on 7,200 interface messages in 48 languages at a probability of 0.8: from 40 letters on
# no answer was wrong and 94 % got one; of those with 15 to 25 letters 60 % did, 0.2 % wrongly.
MIN_DETECTABLE_LETTERS = 40

# At 0.5 the same messages of 40 letters and more had 0.2 % wrong answers; at 0.9 only 89 % had any.
MIN_DETECTION_PROBABILITY = 0.8

# More than this tells the detector nothing new, and its cost grows with the text.
MAX_DETECTION_CHARACTERS = 4_000

_STEMMERS = {
    "ar": "arabic",
    "ca": "catalan",
    "cs": "czech",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "eo": "esperanto",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fa": "persian",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pl": "polish",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
}

# Languages whose terms are bigrams: knowing them changes no term, but tells them from the others.
_UNSTEMMED = frozenset({"ja", "km", "ko", "lo", "my", "th", "zh"})

SUPPORTED_LANGUAGES = frozenset(_STEMMERS) | _UNSTEMMED

# Neighbours offered to the detector so that their speakers are not given a cousin's stemmer
# (Ukrainian is not Russian); "zxx" is its label for text that is no language. All mean None.
_DECOYS = frozenset({"af", "be", "bg", "gl", "he", "hr", "mk", "sk", "sl", "uk", "ur", "vi", "zxx"})

# Here accents are foreign or optional and no suffix rule needs them, so that "cafés" and "cafes"
# reach the stemmer alike.
_ACCENTS_BEFORE_STEMMING = frozenset({"de", "en", "id", "nl"})

# Function words only: articles, pronouns, prepositions, conjunctions, auxiliaries. Recall@10 of
# BM25 on English conversations (LoCoMo, REALTALK) was 0.622 and 0.548 with this list, 0.579 and
# 0.515 with none, 0.588 and 0.542 with a published one of 1,333 words that drops "home", "work" and
# "new". In languages without a list BM25 discounts the frequent words.
_STOP_WORDS = {
    "da": """
        ad af alle at blev blive bliver da de dem den denne der deres det dette dig din disse dog
        du efter eller en end er et for fra ham han hans har havde hende hendes her hos hun hvad
        hvem hver hvilken hvis hvor hvordan i ikke ind jeg jer jo kan kunne man med men mig min
        mine mit mod ned noget nogen nogle nu når og også om op os over på selv sig sin sine sit
        skal skulle som sådan til ud under var vi vil ville vor være været
        """,
    "de": """
        aber als also am an auch auf aus bei beim bin bis bist da dabei damit dann das dass dein
        deine deinem deinen deiner dem den denn der des dich die dies diese diesem diesen dieser
        dieses dir doch du durch ein eine einem einen einer eines er es etwas euch euer für gegen
        hab habe haben hat hatte hatten hattest hast ich ihm ihn ihnen ihr ihre ihrem ihren ihrer
        im in ins ist ja jede jedem jeden jeder jedes jene jenem jenen jener jenes kann kannst kein
        keine keinem keinen keiner können könnte mal man mein meine meinem meinen meiner mich mir
        mit muss musst nach nicht noch nun nur ob oder ohne schon sehr sein seine seinem seinen
        seiner seit sich sie sind so sollte soll sondern über um und uns unser unsere unserem
        unseren unserer unter vom von vor wann war waren warst warum was weil welche welchem
        welchen welcher welches wem wen wenn wer werde werden wer wie wieder will wir wird wirst wo
        wollen worden wurde wurden würde würden zu zum zur zwischen
        """,
    "en": """
        a about after again against all also am an and any are aren't as at be because been before
        being between both but by can can't cannot could couldn't did didn't do does doesn't doing
        don't during each either else ever for from had hadn't has hasn't have haven't having he
        her here hers herself him himself his how i if in into is isn't it its itself just let me
        might mightn't more most must mustn't my myself nd neither no nor not of on once only or
        other our ours ourselves over own rd same shall shan't she should shouldn't so some st
        such than that the their theirs them themselves then there these they this those though
        through th to too under until up upon us very was wasn't we were weren't what when where
        whether which while who whom whose why will with within without won't would wouldn't yet
        you your yours yourself yourselves
        """,
    "es": """
        a al algo algunos ante antes como con contra cual cuando cuándo cuál cuáles cómo de del
        desde donde dónde durante e el él ella ellas ellos en entre era eran eras eres es esa esas
        ese eso esos esta está están estaba estaban estado estamos estar estas este esto estos
        estoy estuvo fue fueron fui ha había habían haber han has hasta hay he la las le les lo los
        más me mi mis mucho muy mí nada ni no nos nosotros nuestra nuestras nuestro nuestros o os
        otra otro para pero por porque pues que qué quien quién quienes se sea ser será si sí sido
        sin sobre somos son soy su sus suya suyo también tanto te tengo ti tiene tienen todo todos
        tu tus tú tuve tuvo un una uno unos vosotros vuestra vuestro y ya yo
        """,
    "fi": """
        ei eivät emme en et että hän häntä hänelle hänen he heidän heitä itse ja jo joka jonka jos
        jossa jota kanssa koska kuin kuka kun me meidän meitä mikä millä minkä minua minulla
        minulle minun minut minä missä mitä mutta myös ne niiden niin niitä nyt näin ole olen olet
        oli olimme olin olisi olit olivat olla ollut on ovat se sekä sen siellä siihen siinä sille
        sinua sinulla sinulle sinun sinut sinä sitä sitten te teidän teitä tai tämä tämän tätä vai
        vaan vain vielä voi
        """,
    "fr": """
        à ai aie ait alors as au aura aurait aussi autre aux avaient avais avait avant avec avez
        avoir avons ça car ce ceci cela celle celles celui ces cet cette ceux chez ci comme comment
        dans de depuis des donc dont du elle elles en encore entre es est et étaient étais était
        étant été être eu eux fait il ils j je la là le les leur leurs lui ma mais me même mes moi
        moins mon n ne ni nos notre nous on ont ou où par parce pas pendant peu plus pour pourquoi
        qu quand que quel quelle quelles quels qui quoi sa sans se sera serait ses si sinon soit
        sommes son sont sous suis sur ta tandis te tes toi ton tous tout toute toutes très tu un
        une vers vos votre vous y
        """,
    "it": """
        a ad agli ai al alla alle allo anche ancora avere aveva avevano avevo avete abbiamo c che
        chi ci coi col come con contro cosa cui da dagli dai dal dalla dalle dallo degli dei del
        della delle dello di dopo dove e è ed era erano eri ero essere fa fino fra fu furono gli ha
        hai hanno ho i il in io la le lei li lo loro lui ma me mentre mi mia mie miei mio molto ne
        negli nei nel nella nelle nello no noi non nostra nostre nostri nostro o per perché però
        più poi qual quale quali quando quella quelle quelli quello questa queste questi questo qui
        se sei senza si sia siamo siete sono sta stai stanno stato sto su sua sue sugli sui sul
        sulla sulle sullo suo suoi te ti tra tu tua tue tuo tuoi tutti tutto un una uno vi voi
        vostra vostre vostri vostro
        """,
    "nl": """
        aan al alles als altijd ander ben bent bij daar dan dat de der deze die dit doch doen door
        dus een en er ge geen had hadden heb hebben hebt heeft hem het hier hij hoe hun ik in is
        iets ja je jij jou jouw jullie kan kon kunnen maar me mee men met mij mijn moet na naar
        niet niets nog nu of om omdat ons onze ook op over te tegen toch toen tot u uit uw van veel
        voor waar waarom wanneer want waren was wat we wel welke werd wezen wie wij wil worden
        wordt zal ze zei zelf zich zij zijn zo zonder zou
        """,
    "no": """
        alle at av ble bli blir da de deg dem den denne der deres det dette din disse ditt du eller
        en enn er et etter for fra ha hadde han hans har henne hennes her hos hun hva hvem hver
        hvilken hvis hvor hvordan hvorfor i ikke inn jeg kan kunne man med meg men mens mer min
        mine mitt mot ned noe noen nå når og også om opp oss over på seg selv sin sine sitt skal
        skulle slik som så til under ut var ved vi vil ville vår være vært å
        """,
    "pl": """
        a aby ale albo ani aż bardzo bez bo by był była było były być będzie będę ci cię co czy
        czyli dla do gdy gdzie go i ich ile im innych iż ja jak jaki jako je jego jej jest jestem
        jeszcze jeśli już ją kiedy kto która które którego której który których którzy lub ma mam
        mi między mnie mną może mój moja moje my na nad nam nami nas nasz nasza nasze nie nich nim
        niż no o od oni on ona one ono oraz po pod ponieważ poza przed przez przy są się skąd swój
        ta tak także tam te tego tej ten też to tobie tu twój twoja twoje ty tych tylko tym u w was
        wam we więc wszystko z za ze że żeby
        """,
    "pt": """
        a à ao aos aquela aquelas aquele aqueles aquilo as às até com como da das de dela delas
        dele deles depois do dos e é ela elas ele eles em entre era eram essa essas esse esses esta
        está estamos estão estar estas estava estavam este estes estou eu foi for foram fui há isso
        isto já lhe lhes mais mas me mesmo meu meus minha minhas muito na não nas nem no nos nós
        nossa nossas nosso nossos num numa o onde os ou para pela pelas pelo pelos por porque
        porquê qual quais quando que quê quem são se seja sem ser será seu seus só somos sou sua
        suas também te tem têm tenho teu teus tinha tu tua tuas um uma uns você vocês vos
        """,
    "ru": """
        а без более бы был была были было быть в вам вами вас ваш ваша ваше вашего вашей вашем ваши
        во вот все всё всего всех вы где да даже для до его ее её ей ему если есть еще ещё ж же за
        здесь и из или им ими их к как какая какой когда кого кому которая которые который кто ли
        либо между меня мне много мной мог мое моё мой моя мои моего моей моих моем мы на над надо
        нам нами нас наш наша наше наши нашего нашей не него нее неё ней нет ни них но ну о об он
        она они оно от очень по под после потому почему при про раз с сам свой своего своей свои
        себе себя сейчас со так также там тебе тебя тем то тобой тогда того тоже той только том тот
        ту ты твой твоя твое твоё твои твоего твоей тут у уже хотя чего чем через что чтобы чье чья
        эта эти это этого этой этом этот эту я
        """,
    "sv": """
        alla allt att av blev bli blir de dem den denna deras dess dessa det detta dig din dina
        ditt du där då efter ej eller en er era ert ett från för ha hade han hans har henne hennes
        hon honom hos hur här i icke in inom inte jag ju kan kunde man med mellan men mig min mina
        mitt mot mycket ni nu när någon något några och också om oss på sig sin sina sitt ska skall
        skulle som så sådan till under upp ut utan vad var varför varje vem vi vid vilka vilken
        vilket vill vår våra vårt än är åt över
        """,
    "tr": """
        acaba ama ancak bana bazı belki ben beni benim bir biz bize bizi bizim bu buna bunda bundan
        bunlar bunu bunun da daha de değil diye en gibi hem hep hepsi her hiç için ile ise kadar ki
        kim kime kimi mi mı mu mü nasıl ne neden nerede nereye niçin o olan olarak on ona onlar
        onları onların onu onun sana sen seni senin siz size sizi sizin şey şu tüm ve veya ya yani
        """,
}

# Heads that elide before a vowel: "l'amour" is a noun with its article, "O'Brien" is one name.
_ELISIONS = {
    "ca": "d l m n s t",
    "fr": "c d j jusqu l lorsqu m n puisqu qu quelqu quoiqu s t",
    "it": "all c d dall dell l m n nell quell quest s sull t un v",
}

# What English glues to a word with an apostrophe. The negations are in the stop words.
_ENGLISH_CLITICS = frozenset({"d", "ll", "m", "re", "s", "ve"})

# Same-length stand-ins, so that the patterns below need one spelling and offsets stay true:
# full-width ASCII, and the typographic apostrophes and hyphens.
_ONE_TO_ONE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    ord("\N{LEFT SINGLE QUOTATION MARK}"): "'",
    ord("\N{RIGHT SINGLE QUOTATION MARK}"): "'",
    ord("\N{MODIFIER LETTER APOSTROPHE}"): "'",
    ord("\N{HYPHEN}"): "-",
    ord("\N{NON-BREAKING HYPHEN}"): "-",
}

# Letters that Unicode does not decompose although people type them without the stroke, and the
# one Cyrillic diacritic that Russians leave out. The Arabic tatweel only stretches a line.
_PLAIN_LETTERS = str.maketrans(
    {
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ł": "l",
        "ħ": "h",
        "ı": "i",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "ё": "е",
        "ـ": None,
    }
)

# Turkish pairs I with ı and İ with i; Unicode's default folding would hand the stemmer other words.
_TURKISH_CASE = str.maketrans({"I": "ı", "İ": "i"})

# What does not change a word: soft hyphen, joiners, variation selectors, the frame of a keycap.
_INVISIBLE = r"\u00AD\u200B-\u200D\u2060\u20E3\uFE00-\uFE0F\uFEFF"

_UNSPACED = (
    r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\u30FC\uFF70\uFF9E\uFF9F]&&[\p{L}\p{M}\p{Nl}]]"
)
_WORD_HEAD = rf"[[\p{{L}}\p{{N}}]--{_UNSPACED}]"
_LETTERS = rf"{_WORD_HEAD}[[\p{{L}}\p{{N}}\p{{M}}{_INVISIBLE}]--{_UNSPACED}]*+"
_WORD = rf"{_LETTERS}(?:'{_LETTERS})*+"
_JOINT = r"(?:://|::|\+\+|_++|[-./:@+&=?%~\#\\]|(?<=\d),(?=\d))"

# Possessive quantifiers throughout: what has been read is never tried again another way.
_PIECE = regex.compile(
    rf"(?V1)(?P<run>{_UNSPACED}++)|(?P<name>{_WORD}(?:{_JOINT}{_WORD})*+(?:\+\+|\#)?)"
)
# A thousands comma belongs to its number: "8,314" is the word "8314".
_PART = regex.compile(rf"(?V1)\d{{1,3}}(?:,\d{{3}})++(?![\p{{L}}\p{{N}}])|{_WORD}")
_HUMP = regex.compile(
    r"(?<=\p{Ll})(?=\p{Lu})|(?<=\p{Lu})(?=\p{Lu}\p{Ll})|(?<=\p{L})(?=\p{N})|(?<=\p{N})(?=\p{L})"
)
_CHARACTER = regex.compile(r"\X")
_ACRONYM = regex.compile(r"\p{L}(?:\.\p{L})+")
_INVISIBLES = re.compile(f"[{_INVISIBLE}]+")
_ACCENTS = regex.compile(
    r"(?<=[\p{Latin}\p{Greek}])\p{Mn}+|[\u0591-\u05BD\u05BF\u05C1\u05C2\u064B-\u0652\u0670]+"
)
_CHUNK = re.compile(r"\S+")
_LETTER = regex.compile(r"[\p{L}\p{M}]")
_UNSPACED_LETTER = regex.compile(rf"(?V1){_UNSPACED}")
_CODE_SIGN = re.compile(r"[\d_=(){}\[\]<>\\/@;|#]")

# A term with the half-open range of characters it was made from.
_Hit = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class TermSpan:
    """A term and the half-open range of characters of the original text that it stands for."""

    term: str
    start: int
    end: int


def terms(text: str, language: str | None) -> list[str]:
    """Return the index terms of a text in reading order, repeats kept.

    `language` is an ISO 639-1 code; one without a stemmer counts as None.
    """
    found: list[str] = []
    for chunk in text.split():
        found.extend(_chunk_terms(chunk, language))
    return found


def folded(text: str) -> str:
    """Return a text as texts are compared: case and white space do not matter."""
    return " ".join(text.casefold().split())


def chunk_words(chunk: str, language: str | None) -> Iterator[tuple[str, str]]:
    """Yield the same terms as `terms` of text without spaces, each with the word it was made from.

    The word is folded, and without a clitic that hangs on it.
    """
    for term, start, end in _read_chunk(chunk, language):
        word = chunk[start:end].translate(_ONE_TO_ONE).casefold()
        yield term, word.removesuffix("'s")


def term_spans(text: str, language: str | None) -> list[TermSpan]:
    """Return the same terms as `terms`, each with the characters it stands for.

    The parts of an identifier follow the whole and lie inside it, so spans may overlap.
    """
    return [
        TermSpan(term, chunk.start() + start, chunk.start() + end)
        for chunk in _CHUNK.finditer(text)
        for term, start, end in _read_chunk(chunk.group(), language)
    ]


def detect_language(text: str) -> str | None:
    """Return the language of a text as an ISO 639-1 code, or None when it is not certain.

    Only prose counts: lines that look like code, numbers or markup are left out. Below
    `MIN_DETECTABLE_LETTERS` letters, or `MIN_DETECTION_PROBABILITY`, the answer is None, since
    a wrong stemmer and wrong stop words cost more recall than none.
    """
    prose = _prose(text[:MAX_DETECTION_CHARACTERS])
    if _detectable_letters(prose) < MIN_DETECTABLE_LETTERS:
        return None
    language, probability = _identifier().classify(prose)
    if probability < MIN_DETECTION_PROBABILITY or language not in SUPPORTED_LANGUAGES:
        return None
    return str(language)


# --- from chunks between spaces to terms ---


def _chunk_terms(chunk: str, language: str | None) -> Iterable[str]:
    """Return a chunk's terms, remembered when it is short enough to come again."""
    if len(chunk) <= MAX_TERM_CHARACTERS:
        return _known_chunk_terms(chunk, language)
    return [hit[0] for hit in _read_chunk(chunk, language)]


# Speech is Zipfian: most chunks of a turn have been seen before. About 10 MB when full.
@lru_cache(maxsize=32_768)
def _known_chunk_terms(chunk: str, language: str | None) -> tuple[str, ...]:
    """Return a short chunk's terms."""
    return tuple(hit[0] for hit in _read_chunk(chunk, language))


def _read_chunk(chunk: str, language: str | None) -> Iterator[_Hit]:
    """Yield the terms of text without spaces, with offsets from its start."""
    for piece in _PIECE.finditer(chunk.translate(_ONE_TO_ONE)):
        if piece.lastgroup == "run":
            yield from _bigram_hits(piece.group(), piece.start())
        else:
            yield from _name_hits(piece.group(), piece.start(), language)


def _bigram_hits(run: str, start: int) -> Iterator[_Hit]:
    """Yield the overlapping pairs of characters of a run, or its only character."""
    characters = [(match.group(), match.start()) for match in _CHARACTER.finditer(run)]
    if len(characters) == 1:
        pairs = [(run, 0)]
    else:
        pairs = [(one + two, at) for (one, at), (two, _) in pairwise(characters)]
    for pair, at in pairs:
        term = _folded(pair)
        if 0 < len(term) <= MAX_TERM_CHARACTERS:
            yield term, start + at, start + at + len(pair)


def _name_hits(name: str, start: int, language: str | None) -> Iterator[_Hit]:
    """Yield a plain word's term, or an identifier's whole and then its parts."""
    parts = list(_PART.finditer(name, 0, MAX_IDENTIFIER_CHARACTERS))
    plain = len(parts) == 1 and len(parts[0].group()) == len(name)
    if not plain and len(name) <= MAX_TERM_CHARACTERS:
        for term in _whole_terms(name, language):
            yield term, start, start + len(name)
        if _ACRONYM.fullmatch(name):
            return
    for part in parts:
        yield from _word_hits(part.group(), start + part.start(), language)


def _whole_terms(name: str, language: str | None) -> tuple[str, ...]:
    """Return the term of an identifier as a whole, in one spelling of several.

    "U.S.A." is "usa"; "Wi-Fi" is the word "wifi"; a comma between digits is a decimal comma unless
    it groups thousands. Anything else stays as written, folded.
    """
    if _ACRONYM.fullmatch(name):
        return _fitting(_plain(_folded(name.replace(".", ""))))
    joined = name.replace("-", "")
    if name[0].isalpha() and all(sign.isalnum() or sign == "'" for sign in joined):
        return _word_terms(joined, language)
    grouped = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", name)
    return _fitting(_plain(_folded(grouped.replace(",", "."))))


def _word_hits(word: str, start: int, language: str | None) -> Iterator[_Hit]:
    """Yield a word's terms, then those of the humps of a camelCase word."""
    if len(word) > MAX_TERM_CHARACTERS:
        return
    for term in _word_terms(word, language):
        yield term, start, start + len(word)
    for begin, end in _humps(word):
        for term in _word_terms(word[begin:end], language):
            yield term, start + begin, start + end


def _humps(word: str) -> list[tuple[int, int]]:
    """Return the ranges of the parts of "camelCase" or "mp3"; none for a word of one part.

    Parts of under 2.5 letters on average are the noise of hashes, not names. A lone letter
    ("v1") says nothing that the whole does not.
    """
    if word.isalpha() and (word[1:].islower() or word.isupper()):
        return []
    bounds = [0, *(match.start() for match in _HUMP.finditer(word)), len(word)]
    ranges = list(pairwise(bounds))
    numbered = len(ranges) == 2 and not word.isalpha()
    if len(ranges) == 1 or not (numbered or 2 * len(word) >= 5 * len(ranges)):
        return []
    return [(begin, end) for begin, end in ranges if end - begin > 1 or word[begin].isdecimal()]


# --- from words to terms ---


@lru_cache(maxsize=32_768)
def _word_terms(word: str, language: str | None) -> tuple[str, ...]:
    """Return the terms of a word that may hold apostrophes; none for a stop word."""
    return _folded_word_terms(_folded(word.translate(_case_table(language))), language)


def _folded_word_terms(word: str, language: str | None) -> tuple[str, ...]:
    """Return the terms of a folded word.

    An apostrophe cuts off a clitic ("Anna's", "they'll") or an elided article ("l'amour"). Any
    other is left out, and a longer tail stands beside the joined name ("obrien", "brien"), because
    people write both and because the language may be unknown.
    """
    if word in _stop_words(language):
        return ()
    head, _, tail = word.rpartition("'")
    if not head:
        return _fitting(_stemmed(word.replace(",", ""), language))
    if tail == "s" or (language == "en" and tail in _ENGLISH_CLITICS):
        return _folded_word_terms(head, language)
    if head in _ELISIONS.get(language or "", "").split():
        return _folded_word_terms(tail, language)
    joined = _fitting(_stemmed(word.replace("'", ""), language))
    return joined + _folded_word_terms(tail, language) if len(tail) > 2 else joined


def _fitting(term: str) -> tuple[str, ...]:
    """Return the term unless folding emptied it or made it too long."""
    return (term,) if 0 < len(term) <= MAX_TERM_CHARACTERS else ()


def _folded(word: str) -> str:
    """Fold case, width, digits of all scripts and invisible characters of a short string."""
    if word.isascii():
        return word.lower()
    if len(word) > 2 * MAX_TERM_CHARACTERS:
        return ""  # normalising a long run of marks takes quadratic time
    folded = unicodedata.normalize("NFKC", word).casefold()
    folded = _INVISIBLES.sub("", unicodedata.normalize("NFKC", folded))
    return "".join(_ascii_digit(sign) for sign in folded if not sign.isspace())


def _ascii_digit(sign: str) -> str:
    """Return the ASCII digit for a decimal digit of any script, any other character unchanged."""
    return str(unicodedata.decimal(sign)) if sign.isdecimal() else sign


def _plain(word: str) -> str:
    """Return a folded word without the accents that people leave out when they type."""
    if word.isascii():
        return word
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", word))
    return unicodedata.normalize("NFC", bare).translate(_PLAIN_LETTERS)


def _stemmed(word: str, language: str | None) -> str:
    """Return the accentless stem, or the accentless word if the language has no stemmer."""
    if language not in _STEMMERS:
        return _plain(word)
    before = _plain(word) if language in _ACCENTS_BEFORE_STEMMING else word
    with _STEMMER_LOCK:
        stem: str = _stemmer(language).stemWord(before)
    return _plain(stem) or _plain(word)


# --- what is loaded once ---

# A stemmer has internal state and must not be called by two threads at once. One lock for all is
# enough: it is taken only for words that are not remembered.
_STEMMER_LOCK = threading.Lock()
_IDENTIFIER_LOCK = threading.Lock()


@cache
def _stemmer(language: str) -> Any:
    """Return the stemmer of a language, without its own cache; call with `_STEMMER_LOCK` held."""
    return Stemmer.Stemmer(_STEMMERS[language], 0)


@cache
def _stop_words(language: str | None) -> frozenset[str]:
    """Return a language's function words, with and without their accents."""
    listed = _STOP_WORDS.get(language or "", "").split()
    return frozenset(listed) | {_plain(word) for word in listed}


def _case_table(language: str | None) -> dict[int, Any]:
    """Return what must be replaced in a word before Unicode's case folding."""
    return _TURKISH_CASE if language == "tr" else {}


def load_detector() -> None:
    """Load what `detect_language` needs now: that takes 100 MB for a moment, and keeps 60."""
    _identifier()


def _identifier() -> Any:
    """Return the language identifier, built by whichever thread comes first."""
    with _IDENTIFIER_LOCK:
        return _built_identifier()


@cache
def _built_identifier() -> Any:
    """Load the model and restrict it; takes about a second."""
    known = LanguageIdentifier.from_model_file(MODEL_FILE)
    known.set_languages(SUPPORTED_LANGUAGES | _DECOYS)
    # Made anew, it forgets the languages that are left out: 28 MB.
    return LanguageIdentifier(
        known.nb_ptc,
        known.nb_pc,
        known.nb_classes,
        known.tk_nextmove,
        known.tk_output,
        norm_probs=True,
        tk_row=known.tk_row,
    )


# --- what a language is read from ---


def _prose(text: str) -> str:
    """Return the lines that consist mostly of words, without what looks like code or numbers."""
    return "\n".join(filter(None, map(_line_prose, text.splitlines())))


def _line_prose(line: str) -> str:
    """Return the words of a line, or nothing if they make up less than 60 % of its characters."""
    chunks = line.split()
    words = [chunk for chunk in chunks if not _CODE_SIGN.search(chunk.strip("()[]{}<>#*_;"))]
    spoken = sum(map(len, words))
    return " ".join(words) if spoken >= 0.6 * sum(map(len, chunks)) else ""


def _detectable_letters(prose: str) -> int:
    """Count letters; one of a script without spaces tells the detector as much as three."""
    return len(_LETTER.findall(prose)) + 2 * len(_UNSPACED_LETTER.findall(prose))
