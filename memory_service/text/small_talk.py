"""The words of small talk: thanks, greetings, farewells, praise, agreement, laughter, apologies.

Every language has few of them and uses them all day, so they can be listed, by hand, from a
dictionary's point of view: what one says without meaning to be remembered. `PHATIC` words make a
message small talk; `FILLER` is what pads it ("a lot", "later", "the weather") and means nothing by
itself. Matching is by index terms, so inflections need no entry of their own. A word that only
repeats one sound ("hahaha", "jajaja", "mmm") counts as laughter in any language.
"""

# ruff: noqa: RUF001 - words of other languages are meant to look like that

from __future__ import annotations

import re
from functools import cache

import regex  # type: ignore[import-untyped]

from memory_service.text.terms import terms

PHATIC = {
    "en": """
        thanks thank thx ty cheers grateful appreciate ok okay kk alright sure yes yeah yep yup no
        nope right exactly absolutely definitely indeed agreed deal understood noted cool nice
        great good best better lovely brilliant awesome amazing perfect wonderful excellent
        fantastic super sweet kind star legend genius angel hero lifesaver welcome sorry apologies
        pardon oops hello hi hey howdy morning afternoon evening night goodnight bye goodbye
        cheerio cya ciao haha hahaha hehe lol lmao rofl funny hilarious wow oh ah aw hmm hm yay
        hooray congrats congratulations
        """,
    "de": """
        danke dankeschön dank merci ok okay super toll prima klasse spitze gut guten beste lieb
        liebe lieber schatz engel perfekt wunderbar großartig hervorragend fein schön morgen abend
        nacht tag mahlzeit moin servus grüezi hallo hi hey tschüss tschau ciao bis klar genau
        stimmt richtig einverstanden verstanden passt freilich jawohl ja jo nein nö bitte gern gerne
        entschuldigung verzeihung sorry haha hihi lustig witzig wow oh ach aha hm hmm glückwunsch
        gratuliere
        """,
    "es": """
        gracias muchas mil muchísimas ok okay vale genial perfecto estupendo fenomenal fantástico
        maravilloso excelente bien bueno buenos buenas buen mejor amable encanto cielo sol genio
        crack días tardes noches hola adiós chao hasta sí no claro exacto correcto cierto entendido
        acuerdo venga perdón disculpa lamento jaja jajaja jeje gracioso divertido guau oh ah hmm
        felicidades enhorabuena
        """,
    "fr": """
        merci beaucoup ok okay super génial parfait excellent formidable magnifique bien bon bonne
        meilleur gentil adorable ange trésor bonjour bonsoir nuit journée soirée salut coucou adieu
        revoir oui ouais non accord entendu compris exact bravo félicitations désolé pardon excuse
        haha hihi mdr drôle marrant oh ah hmm waouh
        """,
    "it": """
        grazie mille ok okay perfetto ottimo fantastico meraviglioso bene bravo buono buon buona
        migliore gentile tesoro angelo buongiorno buonasera buonanotte ciao salve arrivederci sì no
        certo esatto giusto capito prego scusa scusami haha ahah divertente oh ah hmm wow auguri
        complimenti
        """,
    "nl": """
        dank bedankt dankjewel oké ok leuk top perfect geweldig fantastisch goed goede goeden beste
        lief schat engel morgen middag avond nacht dag hallo hoi doei ja nee zeker precies klopt
        akkoord begrepen sorry pardon haha grappig oh ah hmm wow gefeliciteerd
        """,
    "pt": """
        obrigado obrigada ok ótimo perfeito excelente fantástico maravilhoso bem bom boa melhor
        gentil querido anjo dia tarde noite olá oi tchau adeus até sim não claro certo exato
        entendido combinado desculpa perdão haha kkk rsrs engraçado oh ah hmm uau parabéns
        """,
    "ru": """
        спасибо благодарю спасибочки привет здравствуй здравствуйте доброе добрый доброй утро утра
        день вечер ночи спокойной пока свидания встречи увидимся ладно хорошо ок окей договорились
        ага угу да нет конечно разумеется понятно понял поняла ясно точно верно согласен согласна
        извини извините прости простите пожалуйста здорово отлично супер класс круто молодец умница
        лучший лучшая прекрасно замечательно чудесно великолепно ха хаха хехе смешно ой ого ух
        хм поздравляю
        """,
}
FILLER = {
    "en": """
        see later soon today tomorrow tonight day week weekend talk speak take care have enjoy fun
        luck sleep tight well dreams rest joke laugh love glad happy hope much lot bit really too
        everything thing now all like know think sense make sounds got it go ahead say tell please
        problem worries fine going things weather sunny rain window wrong ignore
        """,
    "de": """
        später bald heute gleich wochenende feierabend urlaub schlaf schlafen träum mach machs pass
        auf viel vielen herzlichen glück erfolg spaß alles geht gehts dir läuft wetter witz schade
        leider problem sehr echt wirklich freut mal wieder wunderschön tausend
        """,
    "es": """
        luego pronto hoy mañana semana descansa descanses sueños dulces cuídate suerte abrazo beso
        hablamos vemos tal cómo estás va favor nada pasa tranquilo tiempo chiste risa mucho todo
        siento bonito lindo
        """,
    "fr": """
        bientôt tard aujourd'hui demain week-end semaine dors rêves repose bisous bises courage
        chance va vas plaisir plaît temps blague rien grave problème vraiment trop tellement
        """,
    "it": """
        presto dopo oggi domani settimana dormi sogni riposa baci abbraccio fortuna va come stai
        favore niente problema tempo barzelletta molto davvero tutto
        """,
    "nl": """
        later straks vandaag morgen weekend slaap lekker succes plezier gaat alsjeblieft heel echt
        veel alles weer mop graag probleem
        """,
    "pt": """
        logo breve hoje amanhã semana dorme sonhos descansa beijo abraço sorte vai tudo favor nada
        problema tempo piada muito mesmo
        """,
    "ru": """
        большое огромное скоро сегодня завтра выходных выходные сладких снов отдыхай целую обнимаю
        удачи дела настроение нового погода шутка очень так все всё ничего взаимно рад рада хорошего
        """,
}
# Scripts without spaces: what is left of a text when these are taken out, longest first.
_UNSPACED_PHATIC = """
    谢谢 多谢 感谢 谢了 谢啦 辛苦 早上好 早安 晚安 晚上好 下午好 中午好 你好 您好 大家好 嗨 哈喽
    喂 再见 拜拜 回见 明天见 回头见 待会见 下次见 好梦 哈哈 嘿嘿 呵呵 嘻嘻 好的 好吧 好呀 好啊 行
    可以 没问题 没事 没关系 不客气 对不起 抱歉 不好意思 恭喜 加油 厉害 棒 赞 牛 完美 搞笑 好笑
    有意思 有趣 开心 高兴 保重 慢走 愉快 嗯 哦 噢 哇 唉 原来如此 明白 知道 懂 收到 同意 没错 当然
    对 ありがとう ありがと どうも おはよう こんにちは こんばんは おやすみ さようなら じゃあね
    またね はい いいえ うん すごい 素敵 最高 完璧 ごめん すみません 了解 わかった わかりました
    おめでとう お疲れ様 笑
    """
_UNSPACED_FILLER = """
    的 了 啦 呀 啊 吧 呢 嘛 得 太 很 真 好 你 您 我 都 也 就 是 那 这 这样 那么 一下 先 走 今天
    明天 天气 不错 早点 休息 睡 大家 最 又 还 再 去 见 祝 周末 多 ございます です ます ました ね
    よ また 明日 今日 いい 天気 ください お 本当に とても
    """

_SOUND = re.compile(r"([^\W\d_]{1,3}?)\1{2,}[^\W\d_]?")
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}ー]")
_LETTERS = regex.compile(r"[\p{L}\p{N}]+")


def leftover(text: str, language: str) -> tuple[set[str], bool]:
    """Return (the terms of a text that small talk does not explain, whether it has any of it)."""
    phatic = False
    kept = []
    for word in text.split():
        bare = word.strip(".,;:!?¡¿…\"'()~-*").casefold()
        if _SOUND.fullmatch(bare):
            phatic = True
        elif _UNSPACED.search(bare):
            rest = _strip_unspaced(bare)
            phatic |= rest[1]
            kept += rest[0]
        else:
            kept.append(word)
    found = set(terms(" ".join(kept), language))
    return found - _terms(language), phatic or not found.isdisjoint(_phatic_terms(language))


def _strip_unspaced(text: str) -> tuple[list[str], bool]:
    """Return what is left of an unspaced text, and whether it had a phatic phrase."""
    rest = _phatic_phrases().sub(" ", text)
    return _LETTERS.findall(_filler_phrases().sub(" ", rest)), rest != text


@cache
def _phatic_terms(language: str) -> frozenset[str]:
    return frozenset(terms(PHATIC[language], language))


@cache
def _terms(language: str) -> frozenset[str]:
    return _phatic_terms(language) | frozenset(terms(FILLER[language], language))


@cache
def _phatic_phrases() -> re.Pattern[str]:
    return _any_of(_UNSPACED_PHATIC)


@cache
def _filler_phrases() -> re.Pattern[str]:
    return _any_of(_UNSPACED_FILLER)


def _any_of(phrases: str) -> re.Pattern[str]:
    longest_first = sorted(phrases.split(), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))
