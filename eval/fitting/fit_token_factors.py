"""Fit the factors of the offline token counter, and show how far off it is.

    TIKTOKEN_CACHE_DIR=… python -m eval.fit_token_factors [--docs DIR]

The offline counter weighs the tokens of a llama tokenizer by script. For each script the factor is
a high quantile of (tiktoken's tokens / llama's tokens) over windows of 50 tokens and more, where
tiktoken's count is the larger of cl100k_base and o200k_base. Half of the texts fit, the other half
is held back, and the errors are those of the shipped counter with the table that
`memory_service/tokens/estimate.py` holds: print, paste, run again.

English, Markdown and code come from `*.docs.jsonl` (a line: {"conv": …, "text": …}) in the
folder DIR; the other languages are the paragraphs below, written for this purpose, of which
every second one is held back. All choices are seeded, so a run repeats itself.
"""
# ruff: noqa: E501, RUF001

import argparse
import base64
import json
import math
import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from memory_service.tokens.counting import TokenCounter
from memory_service.tokens.encodings import ENCODINGS, open_counter, open_offline_counter
from memory_service.tokens.estimate import FACTORS, LATIN_AMOUNTS, measure, weigh
from memory_service.tokens.slices import well_formed

DOCS: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "benchmarks"
CORPORA: Final = ("locomo", "realtalk", "beam_100k")
SHORTEST_TOKENS: Final = 50
WINDOWS: Final = 200
DOCUMENTS: Final = 1200
QUANTILE: Final = 0.99
# English has the reserve and the count of pieces above its factor, and should not exceed by 15 %.
LATIN_QUANTILE: Final = 0.9
# The other languages are fitted to a few paragraphs: a margin for the subjects they do not have.
MARGIN: Final = 1.05
# A kanji takes one token or three, so a short Japanese text can be far from the paragraphs: a
# sentence of the tests lies 11 % above their quantile.
MARGINS: Final = {"japanese": 1.12}
# What three digits and three line ends may weigh: the blank before a number is often a token
# too, and line ends often share one with the sign before them.
DIGITS: Final = (1.0, 1.25, 1.5)
LINES: Final = (0.5, 0.75, 1.0)
UNSPACED: Final = frozenset({"zh", "zh-Hant", "ja", "th"})


@dataclass(frozen=True)
class Window:
    """A stretch of text with the count it should get."""

    group: str
    script: str
    text: str
    tokens: int


class LargerCount:
    """The larger count of several vocabularies."""

    name = "larger of " + ", ".join(ENCODINGS)

    def __init__(self, counters: list[TokenCounter]) -> None:
        self._counters = counters

    def count(self, text: str) -> int:
        """Return the larger count."""
        return max(counter.count(text) for counter in self._counters)


def main() -> int:
    """Print the table and the errors; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of *.docs.jsonl files")
    docs = parser.parse_args().docs
    truth = open_truth()
    missing = [str(docs / f"{name}.docs.jsonl") for name in CORPORA]
    missing = [path for path in missing if not Path(path).is_file()]
    if truth is None or missing:
        explain(missing)
        return 1
    counter = open_offline_counter()
    fit = [*all_windows(docs, 0, truth)]
    held_back = [*all_windows(docs, 1, truth)]
    print_table(fit_factors(fit, counter.encode_length))
    print_errors(held_back, counter)
    print_speed([window.text for window in held_back], counter, truth)
    return 0


def open_truth() -> LargerCount | None:
    """Return the real count, or None where a vocabulary is missing."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR")
    if not folder:
        return None
    counters = [
        open_counter(name, allow_download=False, cache_dir=Path(folder)) for name in ENCODINGS
    ]
    if not all(counter.name.startswith("tiktoken:") for counter in counters):
        return None
    return LargerCount(counters)


def explain(missing: list[str]) -> None:
    """Say on standard error what is needed and was not found."""
    for path in missing:
        print(f"missing: {path}", file=sys.stderr)
    print(
        f"needed: the vocabularies {', '.join(ENCODINGS)} in tiktoken's cache, its folder named by"
        " TIKTOKEN_CACHE_DIR, and the text files (see --docs)",
        file=sys.stderr,
    )


def all_windows(docs: Path, half: int, truth: TokenCounter) -> Iterator[Window]:
    """Yield the windows of one half (0 fits, 1 is held back) which are long enough."""
    for group, script, text in all_texts(docs, half, truth):
        tokens = truth.count(text)
        if tokens >= SHORTEST_TOKENS:
            yield Window(group, script, text, tokens)


def all_texts(docs: Path, half: int, truth: TokenCounter) -> Iterator[tuple[str, str, str]]:
    """Yield group, script and text of one half."""
    rng = random.Random(half)
    for name in CORPORA:
        for text in read_documents(docs / f"{name}.docs.jsonl", half, rng):
            yield name, "latin", text
    for text in machine_texts(rng):
        yield "machine", "latin", text
    for language, (script, paragraphs) in PARAGRAPHS.items():
        text = join_lines(language, paragraphs.strip().split("\n\n")[half::2])
        for window in cut_windows(text, len(text) / truth.count(text), rng):
            yield language, script, window


def join_lines(language: str, paragraphs: list[str]) -> str:
    """Return paragraphs as one running text."""
    blank = "" if language in UNSPACED else " "
    return blank.join(blank.join(paragraph.splitlines()) for paragraph in paragraphs)


def cut_windows(text: str, chars_per_token: float, rng: random.Random) -> Iterator[str]:
    """Yield stretches of about 50 to 250 tokens at random places, from a blank on if any."""
    for _ in range(WINDOWS):
        start = max(0, text.rfind(" ", 0, rng.randrange(len(text))))
        yield text[start : start + int(rng.randrange(50, 250) * chars_per_token)]


def read_documents(path: Path, half: int, rng: random.Random) -> Iterator[str]:
    """Yield texts of every second conversation: short ones in groups, slices of long ones."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    conversations = sorted({row["conv"] for row in rows})[half::2]
    texts = [row["text"] for row in rows if row["conv"] in conversations]
    rng.shuffle(texts)
    for text in texts[:DOCUMENTS]:
        yield text
        if len(text) > 1200:
            start = rng.randrange(len(text) - 800)
            yield text[start : start + rng.randrange(200, 800)]
    for start in range(0, len(texts[:DOCUMENTS]), 6):
        yield "\n".join(texts[start : start + 6])


def machine_texts(rng: random.Random) -> Iterator[str]:
    """Yield what programs write into chats: ids, hashes, base64, JSON, log lines and numbers."""
    for _ in range(WINDOWS):
        raw = rng.randbytes(120)
        yield " ".join(str(uuid.UUID(bytes=raw[at : at + 16])) for at in (0, 16, 32, 48))
        yield f"sha256:{raw[:64].hex()}"
        yield base64.b64encode(raw).decode()
        row = {
            "id": raw[:4].hex(),
            "price_eur": rng.random() * 900,
            "inStock": True,
            "tags": ["a1", "B2"],
        }
        yield json.dumps([row] * 4, indent=rng.choice((None, 2, 4)))
        yield "\n".join(
            f"2024-0{at}-1{at}T0{at}:3{at}:15.{rng.randrange(1000)}Z ERROR worker[{rng.randrange(9999)}] GET /v1/items/{raw[at : at + 3].hex()}?page={at} 50{at}"
            for at in range(1, 6)
        )
        yield "\n".join(
            "\t".join(f"{rng.gauss(0, 10**place):.3f}" for place in range(6)) for _ in range(5)
        )


Amounts = dict[str, int]


def fit_factors(windows: list[Window], encode_length: Callable[[str], int]) -> dict[str, float]:
    """Return the table: Latin first, because digits, blanks and names occur in every script."""
    measured = [(window, amounts_of(window.text, encode_length)) for window in windows]
    factors = fit_latin(measured)
    factors |= dict.fromkeys(FACTORS.keys() - factors.keys(), 0.0)
    for script in [name for name in FACTORS if not factors[name]]:
        ratios = [
            (window.tokens - weigh(amounts, factors)) / amounts[script]
            for window, amounts in measured
            if window.script == script
        ]
        margin = MARGINS.get(script, MARGIN)
        factors[script] = round_up(margin * float(np.quantile(ratios, QUANTILE)))
    return factors


def amounts_of(text: str, encode_length: Callable[[str], int]) -> Amounts:
    """Return the amounts of a text, 0 for those of Latin that it has not."""
    return dict.fromkeys(LATIN_AMOUNTS, 0) | measure(well_formed(text), encode_length)


def fit_latin(measured: list[tuple[Window, Amounts]]) -> dict[str, float]:
    """Return the factors of Latin text: those with the smallest excess over English.

    A pair of weights for digits and line ends fixes the weight of the other tokens, as the
    highest quantile of any corpus.
    """
    english = [pair for pair in measured if pair[0].group in CORPORA]
    tables = [latin_table(english, digits, lines) for digits in DIGITS for lines in LINES]
    best = min(tables, key=lambda table: mean_excess(english, table))
    accented = [pair for pair in measured if pair[0].script == "accented"]
    factor = highest_ratio(accented, best, QUANTILE) - best["latin"]
    return best | {"accented": round_up(factor)}


def latin_table(
    english: list[tuple[Window, Amounts]], digits: float, lines: float
) -> dict[str, float]:
    """Return the factors of English for given weights of digits and line ends."""
    weights = {"latin": 0.0, "accented": 0.0, "digits": digits, "lines": lines}
    return weights | {"latin": round_up(highest_ratio(english, weights, LATIN_QUANTILE))}


def highest_ratio(
    measured: list[tuple[Window, Amounts]], weights: dict[str, float], quantile: float
) -> float:
    """Return the largest of the groups' quantiles of tiktoken's tokens per token of llama."""
    groups: dict[str, list[float]] = {}
    for window, amounts in measured:
        rest = window.tokens - sum(weights[name] * amounts[name] for name in ("digits", "lines"))
        groups.setdefault(window.group, []).append(rest / max(1, amounts["latin"]))
    return max(float(np.quantile(ratios, quantile)) for ratios in groups.values())


def mean_excess(measured: list[tuple[Window, Amounts]], factors: dict[str, float]) -> float:
    """Return the mean of (estimate - count) / count."""
    ratios = [weigh(amounts, factors) / window.tokens for window, amounts in measured]
    return float(np.mean(ratios)) - 1


def round_up(factor: float) -> float:
    """Return a factor with two decimals."""
    return math.ceil(100 * factor) / 100


def print_table(factors: dict[str, float]) -> None:
    """Print the fitted table, and where the shipped one differs."""
    print("fitted factors")
    for name, shipped in FACTORS.items():
        differs = "" if factors[name] == shipped else f"   (shipped: {shipped})"
        print(f'    "{name}": {factors[name]},{differs}')


def print_errors(windows: list[Window], counter: TokenCounter) -> None:
    """Print the shipped counter's relative errors on texts which were held back, in per cent."""
    print(
        f"\nerrors of {counter.name} on held-back windows of {SHORTEST_TOKENS} tokens and more, in %"
    )
    print(f"{'group':<12}{'windows':>8}{'mean':>8}{'least':>8}{'most':>8}{'too low':>9}")
    for group in dict.fromkeys(window.group for window in windows):
        members = [window for window in windows if window.group == group]
        errors = np.array([100 * (counter.count(w.text) / w.tokens - 1) for w in members])
        low = 100 * float(np.mean(errors < 0))
        print(
            f"{group:<12}{len(members):>8}{errors.mean():>8.1f}{errors.min():>8.1f}"
            f"{errors.max():>8.1f}{low:>9.2f}"
        )


def print_speed(texts: Iterable[str], *counters: TokenCounter) -> None:
    """Print how many texts a second each counter counts on one core.

    A blank is added, so that no cache knows them.
    """
    texts = [f"{text} " for text in texts]
    for counter in counters:
        start = time.perf_counter()
        total = sum(map(counter.count, texts))
        seconds = time.perf_counter() - start
        rates = f"{len(texts) / seconds:,.0f} texts/s, {total / seconds:,.0f} tokens/s"
        print(f"{counter.name}: {rates}")


# By language: the script, and paragraphs of a diary, a manual, the news and a chat. The last
# entry, emoji and symbols, has no factor of its own and is only measured.
PARAGRAPHS: Final[dict[str, tuple[str, str]]] = {
    "ru": (
        "cyrillic",
        """
Вчера вечером мы наконец собрали книжный шкаф, который стоял в коробке с самого марта. Оля читала инструкцию
вслух, а я путал левые и правые панели, поэтому две полки пришлось переставлять заново. Зато теперь все словари и
путеводители помещаются в одном месте, и на подоконнике снова можно сидеть с чашкой чая.

Для развёртывания службы нужен сервер с четырьмя гигабайтами оперативной памяти и отдельный раздел под журналы.
Сначала создайте пользователя без прав администратора, затем скопируйте файл настроек и проверьте подключение к базе
данных. Если соединение обрывается, увеличьте время ожидания до тридцати секунд и перезапустите процесс.

Городской совет утвердил план реконструкции набережной: вдоль реки появятся велосипедные дорожки, детские площадки и
навесы от дождя. Жители соседних кварталов опасаются шума, однако подрядчик обещает работать только в дневные часы и
завершить основную часть строительства к сентябрю следующего года.

Привет! Слушай, а ты не забыла про субботу? Я взяла билеты на девять утра, электричка идёт почти два часа. Возьми
тёплую куртку и что-нибудь перекусить, потому что кафе на станции, кажется, закрыли. Ну и фотоаппарат, конечно :)
""",
    ),
    "uk": (
        "cyrillic",
        """
Моя бабуся щоосені сушила яблука на горищі, і весь будинок пахнув медом та корицею. Ми з братом таємно лазили туди
драбиною, набивали кишені солодкими скибками й тікали в садок, доки ніхто не помітив. Тепер той самий рецепт я
показую своїм дітям, хоча горища в нашій квартирі, на жаль, немає.

Оновлення бібліотеки усуває помилку, через яку довгі повідомлення обрізалися під час збереження. Рекомендуємо
зробити резервну копію перед встановленням, перевірити версію програми та ознайомитися зі списком відомих обмежень.
Якщо виникнуть запитання, напишіть до служби підтримки.
""",
    ),
    "ar": (
        "arabic",
        """
ذهبنا في نهاية الأسبوع إلى القرية القديمة التي نشأ فيها والدي، وجلسنا تحت شجرة التين نستمع إلى قصص الجيران عن
مواسم الحصاد والأعراس الطويلة. أعدّت عمتي خبزًا ساخنًا مع زيت الزيتون والزعتر، ولم نعد إلى المدينة إلا بعد غروب
الشمس بوقت طويل.

لتثبيت البرنامج على جهازك، قم أولًا بتنزيل الملف المضغوط ثم فك ضغطه في مجلد جديد. افتح نافذة الأوامر واكتب اسم
المستخدم وكلمة المرور عند الطلب. إذا ظهرت رسالة خطأ تتعلق بالذاكرة، فأغلق التطبيقات الأخرى وأعد المحاولة بعد دقيقة
واحدة.

أعلنت وزارة النقل عن خطة جديدة لتطوير شبكة القطارات بين المدن الساحلية خلال السنوات الخمس المقبلة، وتشمل الخطة
بناء محطات حديثة وتحسين خدمات الأمتعة وتخفيض أسعار التذاكر للطلاب وكبار السن. ويتوقع الخبراء أن يقل الازدحام على
الطرق السريعة بشكل ملحوظ.

صباح الخير يا سارة، كيف حالك اليوم؟ هل يمكننا تأجيل موعدنا إلى يوم الخميس؟ ابني مريض قليلًا وعليّ أن آخذه إلى
الطبيب بعد الظهر. سأتصل بك مساءً لنتفق على المكان، وشكرًا جزيلًا على تفهمك!
""",
    ),
    "fa": (
        "arabic",
        """
دیروز با دوستم به بازار رفتیم تا برای خانه‌ی تازه‌اش چند وسیله بخریم. قیمت فرش‌ها خیلی بالا رفته بود، ولی یک چراغ
قدیمی پیدا کردیم که هر دو عاشقش شدیم. بعد از خرید در یک چای‌خانه‌ی کوچک نشستیم و درباره‌ی سفر تابستان حرف زدیم.

برای ارسال درخواست، نخست کلید دسترسی خود را در بخش تنظیمات وارد کنید و سپس نشانی سرور را بنویسید. پاسخ‌ها به
صورت فهرستی از پیام‌ها برگردانده می‌شوند. اگر تعداد پیام‌ها زیاد باشد، نتیجه در چند صفحه نمایش داده خواهد شد.
""",
    ),
    "he": (
        "hebrew",
        """
בסוף השבוע נסענו לבקר את סבתא בגליל, והיא לימדה את הילדים איך לאפות עוגיות תמרים לפי מתכון ישן של המשפחה. אחר
הצהריים ירדנו לנחל, רחצנו רגליים במים הקרים ואספנו אבנים צבעוניות. בדרך חזרה כולם נרדמו באוטו חוץ ממני ומהכלב.

כדי להפעיל את השירות יש להגדיר קודם את כתובת השרת ואת מפתח הגישה בקובץ ההגדרות. לאחר מכן הריצו את פקודת הבדיקה
וודאו שהתשובה מתקבלת בתוך שתי שניות. אם מופיעה שגיאת הרשאה, בדקו שהמשתמש שייך לקבוצה המתאימה ונסו שוב.

החוקרים באוניברסיטה מצאו שציפורים נודדות משנות את מסלולן בגלל התחממות האקלים, ושחלקן מגיעות לאגמים בצפון כמעט
שבועיים מוקדם יותר מבעבר. לדבריהם, הנתונים שנאספו במשך עשרים שנה מצביעים על מגמה ברורה שתשפיע גם על החקלאות.

היי, מה נשמע? רציתי לשאול אם את פנויה ביום רביעי בערב. אנחנו מארגנים מסיבת הפתעה ליום ההולדת של דניאל וצריכים
מישהו שיביא עוגה ונרות. תגידי לי עד מחר בבקשה, כי אני צריכה להזמין מקום במסעדה. נשיקות!
""",
    ),
    "el": (
        "greek",
        """
Το περασμένο καλοκαίρι νοικιάσαμε ένα μικρό σπίτι δίπλα στη θάλασσα και κάθε πρωί περπατούσαμε μέχρι τον φούρνο του
χωριού για φρέσκο ψωμί. Τα παιδιά έμαθαν να κολυμπούν, ενώ ο παππούς διηγιόταν ιστορίες από τα χρόνια που δούλευε
στα καράβια. Κανείς μας δεν ήθελε να επιστρέψει στην πόλη.

Για να εγκαταστήσετε την εφαρμογή, ανοίξτε τις ρυθμίσεις του συστήματος και επιλέξτε τη γλώσσα που προτιμάτε. Στη
συνέχεια συνδέστε τον λογαριασμό σας και επιβεβαιώστε τη διεύθυνση ηλεκτρονικού ταχυδρομείου. Αν εμφανιστεί μήνυμα
σφάλματος, ελέγξτε τη σύνδεση και δοκιμάστε ξανά αργότερα.

Η κυβέρνηση ανακοίνωσε νέα μέτρα για την προστασία των δασών, τα οποία περιλαμβάνουν περισσότερους πυροσβέστες,
σύγχρονο εξοπλισμό και προγράμματα ενημέρωσης στα σχολεία. Οι δήμαρχοι των ορεινών περιοχών υποδέχτηκαν θετικά την
απόφαση, ζητούν όμως επιπλέον χρηματοδότηση.

Γεια σου Μαρία! Πώς πήγε η συνέντευξη; Σκεφτόμουν να βρεθούμε την Παρασκευή για καφέ, αν δεν έχεις άλλα σχέδια.
Ξέρω ένα καινούργιο μαγαζί κοντά στο πάρκο με υπέροχα γλυκά. Πες μου τι ώρα σε βολεύει και θα κλείσω τραπέζι εγώ.
""",
    ),
    "hi": (
        "devanagari",
        """
पिछले रविवार को हम सब मिलकर नदी के किनारे पिकनिक मनाने गए थे। माँ ने आलू के पराठे और आम का अचार बनाया था, और पिताजी ने
बच्चों को पतंग उड़ाना सिखाया। शाम होते ही आसमान में काले बादल छा गए, इसलिए हमें जल्दी घर लौटना पड़ा, लेकिन सबको बहुत मज़ा आया।

इस सेवा को चालू करने के लिए पहले अपना खाता बनाइए और फिर सेटिंग्स में जाकर भाषा चुनिए। यदि पासवर्ड गलत हो तो तीन बार प्रयास
करने के बाद खाता कुछ समय के लिए बंद कर दिया जाता है। सहायता के लिए हमारे ग्राहक सेवा केंद्र पर फ़ोन करें या संदेश भेजें।

राज्य सरकार ने किसानों के लिए नई बीमा योजना की घोषणा की है, जिसके तहत बाढ़ और सूखे से हुए नुकसान की भरपाई सीधे बैंक खाते में
की जाएगी। विशेषज्ञों का कहना है कि इससे छोटे किसानों को सबसे अधिक लाभ होगा, हालाँकि आवेदन की प्रक्रिया अब भी जटिल है।

नमस्ते रवि, तुम्हारी नई नौकरी कैसी चल रही है? मैंने सुना कि दफ़्तर घर से काफ़ी दूर है। अगर इस शनिवार को समय हो तो चाय पर
मिलते हैं, बहुत दिनों से ठीक से बात नहीं हुई। मेरी बहन भी शहर में है और तुमसे मिलना चाहती है। जवाब ज़रूर देना!
""",
    ),
    "zh": (
        "han",
        """
上个周末我们一家人去郊外爬山，早上六点就出发了，路上还下了一点小雨。到了山顶以后云慢慢散开，可以看见远处的湖和村庄。孩子们第一次自己搭帐篷，
虽然搭得歪歪扭扭，但是他们非常得意。晚上大家围着火堆烤红薯、讲故事，一直聊到很晚才睡觉。

安装之前请先确认操作系统的版本，并且关闭所有正在运行的程序。下载完成后双击安装包，按照提示选择目录和语言即可。如果数据库连接失败，请检查用户名、
密码以及防火墙设置；若问题仍然存在，可以把日志文件发送给技术支持人员进行分析。

市政府日前公布了新的公共交通规划，预计未来五年内将新增三条地铁线路和二十多个换乘车站。专家认为，这项工程不仅能够缓解高峰时段的拥堵状况，
还会带动沿线商业的发展。部分居民则担心施工期间的噪音和灰尘会影响日常生活。

你好呀，最近忙不忙？我昨天收到你寄来的明信片了，图案特别漂亮，谢谢你还记得我的生日！下个月我要去上海出差，大概待四天，要是你有空的话我们一起吃顿饭吧。
对了，上次你推荐的那本小说我已经看完了，结局完全没想到。
""",
    ),
    "zh-Hant": (
        "han",
        """
昨天下午我陪奶奶去傳統市場買菜，她跟每個攤販都很熟，邊走邊聊，結果兩個小時才買完。回家後她教我包水餃，我包的形狀實在不太好看，不過味道還不錯。
弟弟一口氣吃了三十顆，還說下次要幫忙擀麵皮。

使用本服務前，請先閱讀並同意隱私權條款。系統會將對話內容加密後儲存於資料庫，您可以隨時匯出或刪除個人資料。若連線逾時，請稍候幾分鐘再重新整理頁面，
或聯絡客服人員協助處理。
""",
    ),
    "ja": (
        "japanese",
        """
先週の土曜日、友達と一緒に海の近くにある古い旅館に泊まりました。部屋の窓から漁船が見えて、夕方になると空がオレンジ色に染まってとてもきれいでした。
晩ご飯には新鮮な刺身や焼き魚がたくさん出て、お腹がいっぱいになりました。翌朝は早起きして、砂浜を散歩しながら貝殻を拾いました。

アプリケーションを起動する前に、設定ファイルにサーバーのアドレスとアクセスキーを入力してください。接続に失敗した場合は、ネットワークの状態を確認し、
しばらく待ってから再試行してください。ログにエラーメッセージが表示されるときは、その内容をコピーしてサポート窓口までお送りください。

政府は来年度の予算案で、地方の医療体制を強化するために必要な費用を大幅に増やす方針を固めた。高齢化が進む地域では医師の不足が深刻な問題となっており、
オンライン診療の普及や若手医師の派遣制度などが検討されている。専門家からは財源の確保を心配する声も上がっている。

お疲れさま！明日の打ち合わせって何時からだっけ？ちょっと電車が遅れそうだから、先に始めててもらえると助かるな。資料はもう共有フォルダに入れてあるよ。
終わったら久しぶりにラーメンでも食べに行かない？駅前に新しいお店ができたらしいんだ。

祖母の家の庭には柿の木が三本あって、秋には近所の人が籠を持って集まります。鍵の壊れた物置から梯子を出し、兄が枝を揺らし、妹と私が拾うのが毎年の役目でした。
干し柿を縁側に吊るすと、冬の匂いがしました。図書館の帰りに立ち寄って、熱いお茶を飲むのが楽しみです。

財布を忘れて駅まで戻ったら、傘まで電車に置いてきちゃった。猫の餌も買わなきゃいけないのに、もう最悪だよ。悪いけど鞄の中に診察券があるか見てくれる？
歯医者の予約、たしか夕方の五時半だったと思うんだけど。
""",
    ),
    "ko": (
        "hangul",
        """
지난 주말에 가족들과 함께 강원도에 있는 작은 마을로 여행을 다녀왔어요. 아침에는 안개가 자욱해서 앞이 잘 보이지 않았지만, 점심때쯤 해가 나면서
산과 계곡이 정말 아름답게 보였습니다. 할머니께서 직접 만드신 된장찌개와 나물 반찬을 먹고 나니 서울로 돌아가기가 싫어졌어요.

프로그램을 설치하기 전에 먼저 운영 체제의 버전을 확인하고 중요한 파일을 백업해 두십시오. 설치가 끝나면 환경 설정 화면에서 서버 주소와 비밀번호를
입력해야 합니다. 오류가 계속 발생하는 경우에는 로그 파일을 첨부하여 고객 지원 센터로 문의하시기 바랍니다.

정부는 내년부터 대중교통 요금을 단계적으로 조정하는 방안을 검토하고 있다고 밝혔다. 전문가들은 연료비와 인건비가 꾸준히 오르고 있어 인상이
불가피하다고 말하지만, 시민 단체는 저소득층의 부담이 커질 수 있다며 충분한 지원 대책을 먼저 마련해야 한다고 주장했다.

안녕, 잘 지내고 있지? 어제 네가 말한 영화 드디어 봤는데 생각보다 훨씬 재미있더라! 특히 마지막 장면에서 눈물이 날 뻔했어. 다음 주 금요일에 시간
괜찮으면 같이 저녁 먹자. 회사 근처에 맛있는 국수집이 새로 생겼거든. 답장 기다릴게.
""",
    ),
    "th": (
        "thai",
        """
เมื่อวันเสาร์ที่ผ่านมาครอบครัวของเราไปเที่ยวตลาดน้ำด้วยกัน คุณแม่ซื้อผลไม้และขนมไทยหลายอย่าง ส่วนน้องชายชอบนั่งเรือดูบ้านเก่าริมคลอง
อากาศค่อนข้างร้อนแต่ทุกคนก็สนุกมาก ตอนเย็นพวกเราแวะกินก๋วยเตี๋ยวร้านโปรดก่อนกลับบ้าน

ก่อนติดตั้งโปรแกรมกรุณาสำรองข้อมูลสำคัญและตรวจสอบว่าเครื่องของคุณมีพื้นที่ว่างเพียงพอ จากนั้นเปิดไฟล์ที่ดาวน์โหลดมาแล้วทำตามขั้นตอนบนหน้าจอ
หากพบข้อความแสดงข้อผิดพลาด ให้ปิดโปรแกรมแล้วลองใหม่อีกครั้ง หรือติดต่อเจ้าหน้าที่ฝ่ายสนับสนุน

รัฐบาลประกาศมาตรการช่วยเหลือเกษตรกรที่ได้รับผลกระทบจากน้ำท่วมในภาคเหนือ โดยจะจ่ายเงินชดเชยและแจกเมล็ดพันธุ์สำหรับฤดูกาลหน้า
ผู้เชี่ยวชาญเตือนว่าปริมาณฝนในปีนี้อาจสูงกว่าค่าเฉลี่ย จึงควรเตรียมระบบระบายน้ำให้พร้อม

สวัสดีจ้ะ วันนี้เป็นยังไงบ้าง เราเพิ่งสอบเสร็จเลยอยากชวนไปดูหนังกัน เธอว่างวันไหนบอกได้เลยนะ เดี๋ยวเราจองตั๋วให้ แล้วก็อย่าลืมเอาหนังสือที่ยืมไปมาคืนด้วยล่ะ
คิดถึงมากเลย ไม่ได้เจอกันตั้งนานแล้ว
""",
    ),
    "de": (
        "accented",
        """
Am vergangenen Wochenende haben wir endlich den alten Dachboden aufgeräumt und dabei eine Kiste mit Großvaters
Briefen gefunden. Manche Umschläge waren noch verschlossen, andere so vergilbt, dass man die Schrift kaum entziffern
konnte. Meine Schwester möchte sie abtippen und für die Enkelkinder binden lassen.

Bevor Sie die Anwendung starten, überprüfen Sie bitte die Zugangsdaten in der Konfigurationsdatei. Tritt während der
Datenbankverbindung eine Zeitüberschreitung auf, erhöhen Sie die Wartezeit schrittweise und wiederholen Sie den
Vorgang. Fehlermeldungen werden im Protokollverzeichnis gespeichert und können jederzeit ausgewertet werden.

Der Gemeinderat beschloss gestern Abend, die Straßenbeleuchtung vollständig auf stromsparende Leuchten umzurüsten.
Die Bürgermeisterin rechnet mit jährlichen Einsparungen von etwa vierzigtausend Euro; die Opposition bemängelt
hingegen die unklare Finanzierung und fordert ein unabhängiges Gutachten.

Hallo Jürgen, hast du am Donnerstag schon was vor? Ich würde gern mal wieder Badminton spielen, aber allein macht's
ja keinen Spaß. Danach könnten wir noch was essen gehen, der Italiener an der Ecke hat übrigens wieder geöffnet. Sag
einfach kurz Bescheid, dann reserviere ich uns einen Platz!
""",
    ),
    "tr": (
        "accented",
        """
Geçen hafta sonu köye gidip büyükannemin bahçesindeki kirazları topladık. Ağaçların gölgesinde çay içerken komşular
eski günlerden, düğünlerden ve uzun kış gecelerinden söz etti. Küçük kuzenim ilk kez ata bindi; başta çok korktu ama
akşama kadar inmek istemedi.

Programı kurmadan önce bilgisayarınızda yeterli boş alan olduğundan emin olun. Ayarlar bölümünden sunucu adresini ve
erişim anahtarını girdikten sonra bağlantıyı sınayın. Hata iletisi görüntülenirse günlük dosyasını inceleyin veya
destek ekibimizle iletişime geçin.

Belediye, şehir merkezindeki trafik yoğunluğunu azaltmak amacıyla yeni bisiklet yolları ve ücretsiz otobüs seferleri
başlatacağını duyurdu. Uzmanlar, uygulamanın başarılı olabilmesi için otopark ücretlerinin de yeniden düzenlenmesi
gerektiğini vurguluyor.

Selam Ayşe, nasılsın? Dün söylediğin diziyi izlemeye başladım, gerçekten çok güzelmiş! Cumartesi günü müsaitsen
birlikte kahvaltı yapalım mı? Deniz kenarında yeni açılan bir yer varmış, böreği ve menemeni çok övüyorlar. Haber
vermeyi unutma, görüşürüz.
""",
    ),
    "vi": (
        "accented",
        """
Cuối tuần trước gia đình tôi về quê thăm ông bà ngoại. Buổi sáng mọi người cùng nhau ra đồng gặt lúa, buổi chiều lũ
trẻ thả diều trên bờ đê còn người lớn ngồi uống trà dưới gốc đa. Bà nấu một nồi cá kho thật ngon mà đã lâu lắm rồi
tôi mới được ăn lại.

Trước khi cài đặt phần mềm, vui lòng kiểm tra dung lượng ổ đĩa và sao lưu những dữ liệu quan trọng. Sau khi tải tệp
về, hãy giải nén vào một thư mục mới rồi nhập địa chỉ máy chủ cùng khóa truy cập. Nếu xuất hiện thông báo lỗi, hãy
khởi động lại và thử thêm một lần nữa.

Thành phố vừa công bố kế hoạch mở rộng tuyến tàu điện ngầm, dự kiến hoàn thành trong vòng bốn năm tới. Các chuyên gia
cho rằng dự án sẽ giúp giảm ùn tắc giao thông, tuy nhiên nhiều hộ dân lo ngại về tiếng ồn và việc đền bù giải phóng
mặt bằng.

Chào Lan, dạo này bạn khỏe không? Mình mới chuyển sang công ty khác nên hơi bận, xin lỗi vì trả lời muộn nhé. Thứ bảy
này nếu rảnh thì đi uống cà phê với mình, mình có nhiều chuyện muốn kể lắm. Nhớ rủ cả Hương đi cùng cho vui!
""",
    ),
    "pl": (
        "accented",
        """
W zeszłą sobotę pojechaliśmy w góry, chociaż prognoza zapowiadała burze i silny wiatr. Na szczęście pogoda się
poprawiła, więc zdążyliśmy wejść na szczyt przed południem i zjeść kanapki z widokiem na całą dolinę. Wracając,
spotkaliśmy starszego pana, który od pięćdziesięciu lat rzeźbi drewniane ptaki.

Przed uruchomieniem usługi należy sprawdzić uprawnienia użytkownika oraz dostępność bazy danych. Jeżeli połączenie
zostanie przerwane, zwiększ limit czasu oczekiwania i spróbuj ponownie. Szczegółowe komunikaty o błędach znajdują się
w dzienniku zdarzeń, który można przesłać do działu wsparcia technicznego.

Rada miejska przyjęła uchwałę dotyczącą rozbudowy sieci tramwajowej na północnych osiedlach. Mieszkańcy od dawna
skarżyli się na przepełnione autobusy, lecz część z nich obawia się wycinki drzew oraz wieloletnich utrudnień
związanych z przebudową skrzyżowań.

Cześć Kasiu, co słychać? Dostałam wreszcie tę pracę w księgarni, o której ci opowiadałam! Zaczynam od poniedziałku i
trochę się stresuję. Może wpadniesz do mnie w piątek wieczorem? Upiekę szarlotkę, obejrzymy jakiś głupi film i
spokojnie pogadamy o wszystkim.
""",
    ),
    "fr": (
        "accented",
        """
Dimanche dernier, nous avons retrouvé mes cousins près de l'étang où nous pêchions quand nous étions enfants. L'eau
avait baissé, mais les grenouilles étaient toujours là. Après le déjeuner, ma tante a sorti un vieil appareil photo
et nous a fait poser exactement comme sur le cliché de mille neuf cent quatre-vingt-douze.

Avant d'installer le logiciel, vérifiez que votre système est à jour et que l'espace disque est suffisant. Saisissez
ensuite l'adresse du serveur ainsi que la clé d'accès. En cas d'échec de la connexion, consultez le journal des
erreurs ou contactez l'équipe d'assistance.
""",
    ),
    "es": (
        "accented",
        """
El sábado pasado ayudamos a mi vecina a mudarse a un piso más pequeño cerca del mercado. Subimos el sofá por la
escalera porque no cabía en el ascensor, y al final todos acabamos riéndonos en el rellano. Después nos invitó a
tortilla y nos enseñó fotografías de cuando era bailarina.

Para activar el servicio, introduzca la dirección del servidor y compruebe que la contraseña sea correcta. Si la
conexión se interrumpe, espere unos segundos y vuelva a intentarlo. Los mensajes de error quedarán guardados en el
registro y podrán consultarse más adelante.
""",
    ),
    "emoji": (
        "symbols",
        """
Party tonight!!! 🎉🎉🥳 Can't wait 😍😍 bring snacks 🍕🍟🥤 and the dog 🐶❤️ please 🙏🏽 lol 😂😂😂 see you at 8 👋🏻 — btw the kids made
a cake 🎂✨ and it fell 😱💀 but we saved half of it 💪🏾👩‍🍳 love you all 💕💕💕 🏳️‍🌈 🇩🇪🇫🇷🇯🇵 ☀️🌧️⛄️ ⭐⭐⭐⭐ 10/10 💯🔥

Status ✅ done ❌ failed ⚠️ warning → next step ← back ↑ up ↓ down • bullet – dash — em dash … ellipsis “quoted” ‘single’ ½ ¾ ± × ÷ ≈ ≠ ≤ ≥
∑ ∏ √ ∞ ∫ α β γ π σ μ ° ™ ® © § ¶ € £ ¥ ₹ ₽ № ┌──┬──┐ │ a │ b │ └──┴──┘ ▓▒░ ■ □ ▲ ► ★ ☆ ♥ ♪ 👍🏼 🤷‍♀️ 🧑‍💻
""",
    ),
}


if __name__ == "__main__":
    sys.exit(main())
