"""Times in German, Spanish, Russian and Chinese, said in English, for one grammar to read. Pure.

Each language is a list of its words for times, with their inflections; what it orders otherwise
than English ("vor drei Wochen", "el mes pasado") is put in order by rules that all share.
dateparser, which knows these languages, was not taken: it returns one moment, where a question
means a stretch of days, and has no feasts, parts of a month or sessions.
"""

# ruff: noqa: RUF001 - words of other languages are meant to look like that

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

English = str | Callable[[str], str]
Vocabulary = tuple[tuple[str, English], ...]
"""Patterns of words, and what they are in English; of two that match the first is taken."""

_OTHER = "_"
"""What stands for a word that has nothing to do with time."""


_NO_TIME = frozenset(
    (_OTHER, "the", "of", "of the", "and", "a few", "this", "1", "", "?", "¿", ",", ".")
)
"""What says nothing of a time by itself."""


class Rendered(NamedTuple):
    """A question's times in English, all its other words as `_`, and where each word came from."""

    text: str
    places: tuple[tuple[int, int, int, int], ...]
    """From and to in the English text, from and to in the question; in order."""

    @classmethod
    def unchanged(cls, question: str) -> Rendered:
        """Return a question that is in English."""
        return cls(question, ())

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Return the stretch of the question that a stretch of the English came from."""
        if not self.places:
            return start, end
        inside = [one for one in self.places if one[0] < end and start < one[1]]
        return (min(one[2] for one in inside), max(one[3] for one in inside))


class _Word(NamedTuple):
    english: str
    start: int
    end: int


_CHINESE_DIGITS = {digit: at for at, digit in enumerate("一二三四五六七八九", 1)} | {"两": 2}
_CHINESE_NUMBER = r"(?:\d{1,4}|[一二三四五六七八九]?十[一二三四五六七八九]?|[一二两三四五六七八九])"
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


def _chinese_number(text: str) -> int:
    """Return the value of a number below 100, in digits or characters."""
    if text.isdigit():
        return int(text)
    tens, ten, ones = text.rpartition("十")
    return (10 * _CHINESE_DIGITS.get(tens, 1) if ten else 0) + _CHINESE_DIGITS.get(ones, 0)


def _first_number(text: str) -> int:
    found = re.search(_CHINESE_NUMBER, text)
    if found is None:
        raise ValueError(f"{text!r} has no number")
    return _chinese_number(found[0])


def _numbered(*patterns: str) -> Vocabulary:
    return tuple((pattern, str(at)) for at, pattern in enumerate(patterns, 1))


def _named(names: Iterable[str], *patterns: str) -> Vocabulary:
    return tuple(zip(patterns, names, strict=True))


def _chinese_unit(text: str) -> str:
    for mark, unit in (("天", "day"), ("日", "day"), ("年", "year"), ("个月", "month")):
        if mark in text:
            return unit
    return "session" if re.search("次|对话|聊天|谈话", text) else "week"


def _chinese_ago(text: str) -> str:
    number = "a few" if "几" in text else str(_first_number(text))
    return f"{number} {_chinese_unit(text)} ago"


def _chinese_weekday(text: str) -> str:
    return _WEEKDAYS[6] if text[-1] in "日天" else _WEEKDAYS[_CHINESE_DIGITS[text[-1]] - 1]


_GERMAN: Vocabulary = (
    (r"heute(?: (?:früh|morgen|vormittag|nachmittag|abend))?", "today"),
    (r"gestern(?: (?:früh|morgen|vormittag|nachmittag|abend))?|letzte nacht", "yesterday"),
    (r"vorgestern", "the day before yesterday"),
    (r"neulich|kürzlich|vor kurzem|letztens|vor einigen tagen|vor ein paar tagen", "the other day"),
    (r"vorletzte[ns]? woche", "2 weeks ago"),
    (r"vorletzte[ns]? monats?", "2 months ago"),
    (r"vorletzte[ns]? jahre?s?", "2 years ago"),
    (r"vorletzte\w* (?:gespräch|unterhaltung|sitzung|chat|mal)\w*", "2 sessions ago"),
    (
        r"(?:beim )?(?:aller)?ersten mal(?=[^.?!]*(?:gesprochen|geredet|unterhalten|geschrieben))",
        "first session",
    ),
    (r"(?:beim |das )?letzte[sn]? mal|zuletzt(?= besprochen| geredet| gesprochen)", "last session"),
    (r"tag(?:e|en|es|s)?", "day"),
    (r"wochenendes?|wochenenden", "weekend"),
    (r"wochen?", "week"),
    (r"monat(?:e|en|es|s)?", "month"),
    (r"(?:einem )?halben jahr", "6 months"),
    (r"jahr(?:e|en|es|s)?", "year"),
    (r"morgen|abend|nacht", "morning"),
    (r"gespräch\w*|unterhaltung(?:en)?|sitzung(?:en)?|chats?", "session"),
    *_named(
        _WEEKDAYS,
        r"montag(?:s|abend|morgen|nachmittag)?",
        r"dienstag(?:s|abend|morgen|nachmittag)?",
        r"mittwoch(?:s|abend|morgen|nachmittag)?",
        r"donnerstag(?:s|abend|morgen|nachmittag)?",
        r"freitag(?:s|abend|morgen|nachmittag)?",
        r"(?:samstag|sonnabend)(?:s|abend|morgen|nachmittag)?",
        r"sonntag(?:s|abend|morgen|nachmittag)?",
    ),
    *(
        (rf"{month}hälfte", f"half of {english}")
        for month, english in zip(
            (
                *("(?:januar|jänner)", "(?:februar|feber)", "märz", "april", "mai", "juni"),
                *("juli", "august", "september", "oktober", "november", "dezember"),
            ),
            _MONTHS,
            strict=True,
        )
    ),
    *_named(
        _MONTHS,
        *(r"(?:januar|jänner)s?", r"(?:februar|feber)s?", r"märz(?:es)?", r"aprils?", r"mais?"),
        *(r"junis?", r"julis?", r"augusts?", r"septembers?", r"oktobers?", r"novembers?"),
        r"dezembers?",
    ),
    (r"monatshälfte", "half of the month"),
    (r"jahreshälfte", "half of the year"),
    (r"monatsanfang", "start of the month"),
    (r"monatsende", "end of the month"),
    (r"jahresanfang|jahresbeginn", "start of the year"),
    (r"jahresende", "end of the year"),
    (r"anfang|beginn|ersten tage[n]?(?= (?:des|im))", "start of"),
    (r"mitte", "middle of"),
    (r"ende", "end of"),
    (r"hälfte", "half of"),
    (r"frühsommers?", "early summer"),
    (r"spätsommers?", "late summer"),
    (r"hochsommers?", "middle of summer"),
    (r"frühherbst", "early autumn"),
    (r"spätherbst", "late autumn"),
    (r"frühlings?|frühjahrs?", "spring"),
    (r"sommers?", "summer"),
    (r"herbst(?:es|s)?", "autumn"),
    (r"winters?", "winter"),
    (r"ostermontags?", "Easter Monday"),
    (r"ostersonntags?", "Easter Sunday"),
    (r"karwoche", "holy week"),
    (r"karfreitags?", "Good Friday"),
    (r"oster(?:n|fest\w*|wochenende|feiertage\w*)", "Easter"),
    (r"pfingst(?:en|wochenende|sonntag)", "Pentecost"),
    (r"christi himmelfahrt", "Ascension Day"),
    (r"fronleichnam", "Corpus Christi"),
    (r"mariä himmelfahrt", "15 August"),
    (r"eisheilige[n]?", "12 May"),
    (r"nikolaus(?:tag|abend)?", "6 December"),
    (r"heiligabend|heilige[rn]? abend", "Christmas Eve"),
    (r"(?:erste[rn]? )?weihnachtsfeiertag(?:en|s)?|weihnacht(?:en|s\w*)|christtag", "Christmas"),
    (r"silvester(?:abend|nacht)?", "New Year's Eve"),
    (r"neujahr(?:stag|s)?", "New Year's Day"),
    (r"rosenmontags?|faschings?|karnevals?|fasnacht", "carnival"),
    (r"aschermittwoch", "Ash Wednesday"),
    (r"allerheiligen", "1 November"),
    (r"tage?s? der arbeit", "1 May"),
    (r"letzte[nmrs]?|vergangene[nmrs]?|vorige[nmrs]?", "last"),
    (r"diese[nmrs]?", "this"),
    (r"ein paar|einigen|mehreren", "a few"),
    (r"vierzehn tagen", "14 days"),
    *(
        (rf"{stem}(?:e|en|er|es|em)", word)
        for stem, word in zip(
            (
                "(?:aller)?erst",
                "zweit",
                "dritt",
                "viert",
                "fünft",
                "sechst",
                "sieb(?:en)?t",
                "acht",
                "neunt",
            ),
            _ORDINALS,
            strict=True,
        )
    ),
    *_numbered(
        *("eine[nmrs]?", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
        *("zehn", "elf", "zwölf"),
    ),
    (r"\d{1,4}\.?", lambda text: text.rstrip(".")),
    (r"nach", "after"),
    (r"vor", "before"),
    (r"seit", "since"),
    (r"bis(?: zum| zu)?", "to"),
    (r"zwischen", "between"),
    (r"von", "from"),
    (r"vom", "from the"),
    (r"und", "and"),
    (
        r"rund um|um(?= (?:ostern|weihnachten|pfingsten|silvester|neujahr|den|die|das))|gegen",
        "around",
    ),
    (r"de[rnms]|d(?:ie|as)|im|am|zum|zur", "the"),
)

_SPANISH: Vocabulary = (
    (r"hoy|esta (?:mañana|tarde|noche)", "today"),
    (r"anteayer|antier|antes de ayer", "the day before yesterday"),
    (r"ayer|anoche", "yesterday"),
    (r"el otro día|hace (?:poco|unos días|un par de días)|hace pocos días", "the other day"),
    (r"penúltim[oa] (?:conversación|charla|sesión|vez)", "2 sessions ago"),
    (r"antepenúltim[oa] (?:conversación|charla|sesión|vez)", "3 sessions ago"),
    (
        r"(?:la )?última vez(?= que (?:hablamos|charlamos|conversamos))|la vez (?:pasada|anterior)",
        "last session",
    ),
    (
        r"(?:la )?primera vez que (?:hablamos|charlamos|conversamos|te escribí|nos escribimos)",
        "first session",
    ),
    (r"conversaci(?:ón|ones)|charlas?|sesi(?:ón|ones)", "session"),
    (r"al día siguiente (?:de|a)l?|un día después de(?=l? )", "the day after"),
    (r"(?:a )?la mañana siguiente (?:de|a)l?", "the morning after"),
    (r"(?:en )?la víspera de", "the day before"),
    (r"siguientes? (?:de|a)l?", "after"),
    (r"(?:la )?semana (?:antepasada)", "2 weeks ago"),
    (r"hace quince días", "2 weeks ago"),
    (r"hace medio año", "6 months ago"),
    (r"fin(?:es)? de semana", "weekend"),
    (r"días?", "day"),
    (r"semanas?(?! santa)", "week"),
    (r"mes(?:es)?", "month"),
    (r"año nuevo", "New Year's Day"),
    (r"años?", "year"),
    (r"noche ?buena", "Christmas Eve"),
    (r"noche ?vieja|fin de año", "New Year's Eve"),
    (r"(?:el )?día de (?:los )?reyes|(?:los )?reyes(?: magos)?", "6 January"),
    (r"navidad(?:es)?", "Christmas"),
    (r"viernes santo", "Good Friday"),
    (r"jueves santo", "holy week"),
    (
        r"(?:domingo|lunes) de (?:pascua|resurrección)",
        lambda text: "Easter Monday" if "lunes" in text.casefold() else "Easter Sunday",
    ),
    (r"semana santa", "holy week"),
    (r"pascua", "Easter"),
    (r"pentecostés", "Pentecost"),
    (r"miércoles de ceniza", "Ash Wednesday"),
    (r"carnaval(?:es)?", "carnival"),
    (r"(?:noche de )?san juan", "24 June"),
    (r"san valentín", "Valentine's Day"),
    (r"todos los santos", "1 November"),
    (r"día de (?:los )?muertos", "2 November"),
    (r"mañana(?= (?:después|antes|siguiente|del))", "morning"),
    (r"noche(?= (?:después|antes|siguiente|del))", "night"),
    (r"l[oa]s (?:lunes|martes|miércoles|jueves|viernes|sábados|domingos)", _OTHER),
    *_named(
        _WEEKDAYS,
        *("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
    ),
    *_named(
        _MONTHS,
        *("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto"),
        *("sep?tiembre", "octubre", "noviembre", "diciembre"),
    ),
    (r"(?:a )?(?:principios?|comienzos?|inicios?) del?|primeros días del?", "start of"),
    (r"(?:a )?mediados? del?", "middle of"),
    (r"(?:a )?(?:finales|fines|final|últimos días) del?", "end of"),
    (r"primera quincena del?", "first half of"),
    (r"segunda quincena del?", "second half of"),
    (r"mitad", "half"),
    (r"primavera", "spring"),
    (r"verano", "summer"),
    (r"otoño", "autumn"),
    (r"invierno", "winter"),
    (r"pasad[oa]s?|anterior(?:es)?", "PAST"),
    (r"últim[oa]s?", "last"),
    (r"est[ea]|estos|estas", "this"),
    (r"un par de", "a couple of"),
    (r"un[oa]s (?:cuant[oa]s )?|vari[oa]s|algun[oa]s", "a few"),
    *_named(
        _ORDINALS,
        *("primer[oa]?", "segund[oa]", "tercer[oa]?", "cuart[oa]", "quint[oa]", "sext[oa]"),
        *("séptim[oa]", "octav[oa]", "noven[oa]"),
    ),
    *_numbered(
        *("un[oa]?", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez"),
        *("once", "doce"),
    ),
    (r"\d{1,4}", str),
    (r"hace", "AGO"),
    (r"después de(?:l)?|tras|luego de", "after"),
    (r"antes de(?:l)?", "before"),
    (r"desde", "since"),
    (r"hasta|al", "to"),
    (r"entre", "between"),
    (r"alrededor del?|hacia|por(?= (?:navidad|pascua|semana santa|carnaval|san juan))", "around"),
    (r"y", "and"),
    (r"del", "of the"),
    (r"de", "of"),
    (r"el|l[ao]s?", "the"),
)

_RUSSIAN: Vocabulary = (
    (r"сегодня|(?:сегодняшн|нынешн)\w+ (?:утр|вечер)\w+", "today"),
    (r"позавчера", "the day before yesterday"),
    (r"вчера", "yesterday"),
    (r"на днях|пару дней назад|несколько дней назад", "the other day"),
    (r"предпоследн\w+ (?:разговор|бесед|чат|раз|сесси)\w*|позапрошл\w+ раз\w*", "2 sessions ago"),
    (r"(?:прошл|последн)\w+ раз(?!гов)", "last session"),
    (
        r"перв\w+ раз(?= мы говорили| мы общались)|когда мы впервые (?:говорили|общались)",
        "first session",
    ),
    (r"позапрошл\w+ недел\w*", "2 weeks ago"),
    (r"позапрошл\w+ месяц\w*", "2 months ago"),
    (r"позапрошл\w+ год\w*", "2 years ago"),
    (r"разговор\w*|бесед\w*|сесси\w*|чат(?:а|е|у|ом|ов|ы)?", "session"),
    (r"новогодн\w+ ноч\w+|ноч\w+ на новый год", "New Year's Eve"),
    (r"новогодн\w+ праздник\w*", "New Year's Day"),
    (r"нов(?:ый|ого|ому|ым) год(?:а|у|ом)?", "New Year's Day"),
    (r"выходн(?:ые|ых|ым|ыми)", "weekend"),
    (r"дн(?:и|ей|я|ю|ём|ем|е|ям|ях)|день", "day"),
    (r"пасхальн\w+ недел\w+|недел\w+ после пасхи", "Orthodox Easter week"),
    (r"страстн\w+ недел\w+", "Orthodox holy week"),
    (r"недел(?:я|и|ю|е|ей|ь)", "week"),
    (r"месяц(?:а|е|у|ем|ев|ы)?", "month"),
    (r"полгода", "6 months"),
    (r"полмесяца", "2 weeks"),
    (r"год(?:а|у|ом|ов|ы)?|лет(?= (?:тому )?назад)", "year"),
    (r"утр(?:о|а|ом)(?= после)|вечер(?:а|ом)?(?= после)", "morning"),
    *_named(
        _WEEKDAYS,
        *(r"понедельник(?:а|у|ом)?", r"вторник(?:а|у|ом)?", r"сред[уыае]|средой"),
        *(r"четверг(?:а|у|ом)?", r"пятниц(?:а|у|ы|е|ей)", r"суббот(?:а|у|ы|е|ой)"),
        r"воскресень(?:е|я|ю|ем)",
    ),
    *_named(
        _MONTHS,
        *(r"январ\w{1,2}", r"феврал\w{1,2}", r"март\w{0,2}", r"апрел\w{1,2}", r"ма[йяею]|маем"),
        *(r"июн\w{1,2}", r"июл\w{1,2}", r"август\w{0,2}", r"сентябр\w{1,2}", r"октябр\w{1,2}"),
        *(r"ноябр\w{1,2}", r"декабр\w{1,2}"),
    ),
    (r"перв\w+ числ\w+|начал(?:о|е|а|у|ом)|перв\w+ дн(?:и|ей|ях)", "start of"),
    (r"середин\w+", "middle of"),
    (r"конц(?:е|а|у|ом)|конец|последни[ехм]\w* (?:дн|числ)\w+", "end of"),
    (r"половин\w+", "half of"),
    (r"весн(?:а|ы|е|у|ой)", "spring"),
    (r"лет(?:о|ом|а|у|е)", "summer"),
    (r"осен(?:ь|и|ью)", "autumn"),
    (r"зим(?:а|ы|е|у|ой)", "winter"),
    (r"пасх(?:а|и|е|у|ой)", "Orthodox Easter"),
    (r"троиц(?:а|ы|е|у|ей|ын\w+ д\w+)", "Orthodox Pentecost"),
    (r"масленниц\w*|маслениц\w*", "maslenitsa"),
    (r"рождеств(?:о|а|у|ом|е)", "7 January"),
    (r"д(?:ень|ня|ню) победы", "9 May"),
    (r"майски\w+ праздник\w*", "start of May"),
    (r"прошедш\w+|прошл(?:ый|ая|ое|ого|ой|ую|ом|ым|ые|ых)|последн\w+", "last"),
    (r"эт(?:от|ой|ом|у|о|их|и)", "this"),
    (r"(?:на )?следующ\w+", "the"),
    (r"пар[ауые]", "a couple of"),
    (r"несколько|нескольких", "a few"),
    *_named(
        _ORDINALS,
        *(r"(?:самы[йм] |само[ймге]\w* )?перв\w+", r"втор(?:ой|ая|ое|ого|ую|ом|ым)"),
        *(r"трет(?:ий|ья|ье|ьего|ьей|ью|ьем)", r"четв[её]рт\w+", r"пят(?:ый|ая|ое|ого|ой|ую|ом)"),
        *(r"шест(?:ой|ая|ое|ого|ую|ом)", r"седьм\w+", r"восьм(?:ой|ая|ое|ого|ую|ом)"),
        r"девят(?:ый|ая|ое|ого|ой|ую|ом)",
    ),
    *_numbered(
        *(r"од(?:ин|на|но|ну|ного|ной)", r"дв(?:а|е|ух)", r"тр(?:и|[её]х)", r"четыр(?:е|[её]х)"),
        *(r"пять|пяти", r"шесть|шести", r"семь|семи", r"восемь|восьми", r"девять|девяти"),
        *(r"десять|десяти", r"одиннадцать", r"двенадцать"),
    ),
    (r"\d{1,4}(?:-?(?:го|е|й))?", lambda text: re.sub(r"\D", "", text)),
    (r"(?:тому )?назад", "ago"),
    (r"после", "after"),
    (r"накануне", "day before"),
    (r"до|перед", "before"),
    (r"начиная с|со времени", "since"),
    (r"между", "between"),
    (r"с(?= \d)", "from"),
    (r"по(?= \d)", "to"),
    (r"и", "and"),
    (r"около|в районе", "around"),
    (r"через", ""),
)

_CHINESE_DAY = r"(?:周|星期|礼拜)[一二三四五六日天]"
_CHINESE: Vocabulary = (
    (r"今(?:天|早|晚|日)", "today"),
    (r"大前天", "3 days ago"),
    (r"前天", "the day before yesterday"),
    (r"昨(?:天|晚|日|夜)", "yesterday"),
    (rf"上上个?{_CHINESE_DAY}", lambda text: f"{_chinese_weekday(text)} 2 weeks ago"),
    (rf"上个?{_CHINESE_DAY}", lambda text: f"{_chinese_weekday(text)} 1 week ago"),
    (rf"(?:这个?|本)?{_CHINESE_DAY}", _chinese_weekday),
    (r"上个?周末", "last weekend"),
    (r"周末", "weekend"),
    (r"上上个?(?:周|星期|礼拜)", "2 weeks ago"),
    (r"上个?(?:周|星期|礼拜)", "last week"),
    (r"(?:这个?|本)(?:周|星期|礼拜)", "this week"),
    (r"上上个月", "2 months ago"),
    (r"上个?月初", "start of last month"),
    (r"上个?月中旬?", "middle of last month"),
    (r"上个?月(?:底|末)", "end of last month"),
    (r"上个?月", "last month"),
    (r"(?:这个|本)月初|月初", "start of this month"),
    (r"(?:这个|本)月", "this month"),
    (r"去年(?:年底|底|年末)", "end of last year"),
    (r"去年(?:年初|初)", "start of last year"),
    (r"(?:今年)?年初", "start of the year"),
    (r"去年", "last year"),
    (r"今年", "this year"),
    (r"前年", "2 years ago"),
    (r"20\d\d年", lambda text: text[:4]),
    (r"上半年", "first half of the year"),
    (r"下半年", "second half of the year"),
    (r"上上次(?:聊天|对话|谈话|会话)?|倒数第二次(?:聊天|对话|谈话|会话)?", "2 sessions ago"),
    (r"上(?:一)?次(?:聊天|对话|谈话|会话|聊)?", "last session"),
    (r"(?:最早|第一次)(?:聊天|对话|谈话|会话|聊)", "first session"),
    (
        rf"第{_CHINESE_NUMBER}次(?:聊天|对话|谈话|会话|聊)",
        lambda text: f"{_first_number(text)}th session",
    ),
    (r"半个月(?:以|之)?前", "2 weeks ago"),
    (r"半年(?:以|之)?前", "6 months ago"),
    (r"(?:前几天|前些天|前两天|前段时间|几天(?:以|之)?前)(?!.{0,1}(?:以|之)?后)", "FEWBEFORE"),
    (
        rf"(?:{_CHINESE_NUMBER}|几)(?:天|个?星期|个?礼拜|周|个月|年|次(?:对话|聊天|谈话))(?:以|之)?前",
        _chinese_ago,
    ),
    (
        rf"(?:最近|过去|这)(?:的)?{_CHINESE_NUMBER}(?:天|个?星期|周|个月)",
        lambda text: f"last {_first_number(text)} {_chinese_unit(text)}",
    ),
    (rf"{_CHINESE_NUMBER}月份?", lambda text: _MONTHS[(_first_number(text) - 1) % 12]),
    (rf"{_CHINESE_NUMBER}[日号]", lambda text: str(_first_number(text))),
    (r"初|上旬|的?月初", "EARLY"),
    (r"中旬", "MIDDLE"),
    (r"底|末|下旬", "LATE"),
    (r"圣诞(?:节|夜)?|平安夜", lambda text: "Christmas Eve" if "夜" in text else "Christmas"),
    (r"元旦", "New Year's Day"),
    (r"跨年(?:夜)?", "New Year's Eve"),
    (r"情人节", "Valentine's Day"),
    (r"妇女节", "8 March"),
    (r"清明(?:节)?", "Qingming"),
    (r"复活节", "Easter"),
    (r"劳动节|五一(?:假期|节)?", "May Day holidays"),
    (r"儿童节", "1 June"),
    (r"教师节", "10 September"),
    (r"国庆(?:节|假期|长假)?", "National Day of China"),
    (r"万圣节", "Halloween"),
    (r"双十一|双11", "11 November"),
    (r"冬至", "21 December"),
    (r"春(?:天|季)", "spring"),
    (r"夏(?:天|季)|暑假", "summer"),
    (r"秋(?:天|季)", "autumn"),
    (r"冬(?:天|季)", "winter"),
    (r"(?:的)?(?:前一天|头一天)", "DAYBEFORE"),
    (r"(?:之|以)?后?的?(?:第二天|次日|后一天)", "DAYAFTER"),
    (r"(?:之|以)?后的?(?:那|第)?一?个?(?:周|星期|礼拜)", "WEEKAFTER"),
    (r"(?:之|以)?前的?(?:那|第)?一?个?(?:周|星期|礼拜)", "WEEKBEFORE"),
    (r"(?:之|以)?后(?:的)?(?:几|两|三)天", "FEWAFTER"),
    (r"(?:之|以)?前(?:的)?(?:几|两|三)天", "FEWBEFORE"),
    (r"左右|前后|期间|附近", "AROUND"),
    (r"(?:之|以)后", "AFTER"),
    (r"(?:之|以)?前(?!台|面|妻|夫|任|男|女|后|进|往)", "BEFORE"),
    (r"到|至", "to"),
)

_SPACED = r"(?<!\w)(?:{})(?!\w)"
_VOCABULARIES = {
    "de": (_GERMAN, _SPACED),
    "es": (_SPANISH, _SPACED),
    "ru": (_RUSSIAN, _SPACED),
    "zh": (_CHINESE, "(?:{})"),
}
LANGUAGES = frozenset(_VOCABULARIES)
"""Languages other than English in which times are understood."""

_NUMBER = r"(?:\d{1,3}|a few|a couple of)"
_UNIT = r"(?:day|week|weekend|month|year|session)s?"
_MONTH = rf"(?:{'|'.join(_MONTHS)})"
_WEEKDAY = rf"(?:{'|'.join(_WEEKDAYS)})"
_SEASON = r"(?:spring|summer|autumn|winter)"
_FEAST = (
    r"(?:(?:Orthodox )?Easter(?: Sunday| Monday| week)?|(?:Orthodox )?Pentecost|Christmas(?: Eve)?"
    r"|New Year's (?:Day|Eve)|Qingming|Halloween|Good Friday|holy week|carnival|maslenitsa"
    r"|Valentine's Day|May Day holidays|National Day of China"
    rf"|\d{{1,2}} {_MONTH}|{_MONTH}(?: \d{{1,2}})?|{_SEASON})"
)
_ORDERED = tuple(
    (re.compile(pattern), order)
    for pattern, order in (
        # German: "vor drei Wochen"; Spanish: "hace tres semanas".
        (rf"(?:AGO|before) (?:the )?({_NUMBER}) ({_UNIT})\b(?! (?:before|after))", r"\1 \2 ago"),
        # Russian: "неделю назад".
        (rf"(?<!\d )(?<!few )(?<!couple of )\b({_UNIT}) ago", r"1 \1 ago"),
        (rf"({_UNIT}|{_WEEKDAY}|{_MONTH}|{_SEASON}) PAST", r"last \1"),
        (rf"PAST ({_UNIT}|{_WEEKDAY}|{_MONTH}|{_SEASON})", r"last \1"),
        (rf"({_WEEKDAY}) (?:of )?(?:the )?last week", r"\1 1 week ago"),
        (rf"last ({_UNIT}) ({_NUMBER})", r"last \2 \1"),
        (rf"(\d{{1,2}}) (?:to|and) (?:the )?(\d{{1,2}}) (?:of )?({_MONTH})", r"\1 \3 to \2 \3"),
        # Chinese: what is meant stands before its side, the part of a month behind its name.
        (rf"({_FEAST}) DAYBEFORE", r"the day before \1"),
        (rf"({_FEAST}) DAYAFTER", r"the day after \1"),
        (rf"({_FEAST}) WEEKAFTER", r"the week after \1"),
        (rf"({_FEAST}) WEEKBEFORE", r"the week before \1"),
        (rf"({_FEAST}) FEWAFTER", r"the week after \1"),
        (rf"({_FEAST}) FEWBEFORE", r"the week before \1"),
        (rf"({_FEAST}) AROUND", r"around \1"),
        (rf"({_FEAST}) AFTER", r"after \1"),
        (rf"({_FEAST}) BEFORE", r"before \1"),
        (rf"({_MONTH}) EARLY", r"start of \1"),
        (rf"({_MONTH}) MIDDLE", r"middle of \1"),
        (rf"({_MONTH}) LATE", r"end of \1"),
        (rf"((?:19|20)\d\d) ((?:\w+ of )?{_FEAST})", r"\2 \1"),
        (rf"(last|this) year ((?:\w+ (?:\w+ )?of )?(?:the )?{_FEAST})", r"\2 \1 year"),
        (rf"({_MONTH}|{_SEASON}) of (?:the )?((?:last|this) year)", r"\1 \2"),
        (r"FEWBEFORE", "the other day"),
        (
            rf"(?<!last )(?<!this )(?<!on )(?<!on the )\b({_WEEKDAY})\b(?! (?:before|after|\d))",
            r"on \1",
        ),
    )
)


def in_english(question: str, language: str) -> Rendered:
    """Return the times that a question names in one of the `LANGUAGES`, in English."""
    words, pattern = _vocabulary(language)
    lowered = question.lower()
    # A capital that is two letters when small would shift what follows.
    text = lowered if len(lowered) == len(question) else question
    found = [_rendered(match, words) for match in pattern.finditer(text)]
    if all(one.english in _NO_TIME for one in found):
        return Rendered(_OTHER, ((0, 1, 0, 0),))
    # Where a month begins a text, English does not know it from a verb.
    merged = [_Word(_OTHER, 0, 0), *(one for one in found if one.english)]
    for rule, order in _ORDERED:
        merged = _in_order(merged, rule, order)
    text, places = "", []
    for one in merged:
        text += " " if text else ""
        places.append((len(text), len(text) + len(one.english), one.start, one.end))
        text += one.english
    return Rendered(text, tuple(places))


@cache
def _vocabulary(language: str) -> tuple[tuple[English, ...], re.Pattern[str]]:
    vocabulary, frame = _VOCABULARIES[language]
    pattern = frame.format("|".join(f"({pattern})" for pattern, _ in vocabulary))
    other = r"|\w+|[^\w\s]" if language != "zh" else r"|\w|[^\w\s]"
    return tuple(english for _, english in vocabulary), re.compile(pattern + other)


def _rendered(match: re.Match[str], words: tuple[English, ...]) -> _Word:
    if match.lastindex is None:
        return _Word(_OTHER if match[0].isalnum() else match[0], *match.span())
    english = words[match.lastindex - 1]
    return _Word(english if isinstance(english, str) else english(match[0]), *match.span())


def _in_order(words: list[_Word], rule: re.Pattern[str], order: str) -> list[_Word]:
    """Return the words with each stretch that a rule matches as one word, in the rule's order."""
    text = " ".join(one.english for one in words)
    matches = list(rule.finditer(text))
    if not matches:
        return words
    result, at = [], 0
    for one in words:
        end = at + len(one.english)
        inside = next(
            (match for match in matches if match.start() < end and at < match.end()), None
        )
        if inside is None:
            result.append(one)
        else:
            # Some words are several in English, and a rule may match in the midst of them.
            if at <= inside.start():
                opening = text[at : inside.start()] + inside.expand(order)
                result.append(_Word(opening, one.start, one.end))
            rest = text[inside.end() : end]
            result[-1] = _Word(result[-1].english + rest, result[-1].start, one.end)
        at = end + 1
    return result
