"""Link texts that do not say where they lead, by language. Writers get a warning; pages add the target for screen readers.

Lighthouse's own list (``core/audits/seo/link-text.js`` of 12.8, Apache-2.0), and what else is seen in newsletters.
"""

from __future__ import annotations

import re
from functools import cache

WORDS = {
    "en": "click here|click this|click|go|here|information|learn more|link|more|more info|more information|over here"
    "|read more|right here|see here|see more|start|this|this link|this page",
    "de": "klicke hier|hier klicken|hier|mehr|siehe|dies|das|weiterlesen|link|dieser link|mehr erfahren",
    "fr": "ici|cliquez ici|lien|ce lien|en savoir plus|lire la suite|plus",
    "it": "qui|clicca qui|link|leggi tutto|altro",
    "es": "click aquí|click aqui|clicka aquí|clicka aqui|pincha aquí|pincha aqui|aquí|aqui|más|mas|más información"
    "|más informacion|mas información|mas informacion|este|enlace|este enlace|empezar|haz clic aquí|leer más",
    "pt": "clique aqui|aqui|ir|mais informação|mais informações|mais|veja mais",
    "sv": "här|klicka här|läs mer|mer|mer info|mer information",
    "ja": "ここをクリック|こちらをクリック|リンク|続きを読む|続く|全文表示|こちら",
    "ko": "여기|여기를 클릭|클릭|링크|자세히|자세히 보기|계속|이동|전체 보기",
    "zh": "这里|點擊這裡|点击这里|链接|更多|阅读更多|查看更多",
    "ta": "அடுத்த பக்கம்|மறுபக்கம்|முந்தைய பக்கம்|முன்பக்கம்|மேலும் அறிக|மேலும் தகவலுக்கு|மேலும் தரவுகளுக்கு"
    "|தயவுசெய்து இங்கே அழுத்தவும்|இங்கே கிளிக் செய்யவும்",
    "fa": "اطلاعات بیشتر|اطلاعات|این|اینجا بزنید|اینجا کلیک کنید|اینجا|برو|بیشتر بخوانید|بیشتر بدانید|بیشتر|شروع",
}
_LONG = 2 * max(len(one) for words in WORDS.values() for one in words.split("|"))  # allowing for punctuation between the words
_NAMES = {"go", "das"}  # also names of something, so they are not reported


def words(lang: str) -> str:
    """Return the words in a page's language, joined by ``|``; empty if there are none."""
    return WORDS.get(re.split("[-_]", lang.strip().lower())[0], "")


def says_nothing(text: str, lang: str) -> bool:
    """Should the link have another text? Punctuation and capitals do not count."""
    return len(text) < _LONG and _flat(text) in _told_off(lang)


@cache
def _told_off(lang: str) -> frozenset[str]:
    return frozenset(map(_flat, words(lang).split("|"))) - _NAMES - {""}


def _flat(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.lower()).strip()
