"""Recognize a plain request to unsubscribe in a person's own words.

A sentence is a plain request if nothing else is left of it without the words that change nothing: greetings, politeness, names
for a newsletter. Every other word ("never", "how", "my colleague") makes it something to be answered, not carried out.
"""

from __future__ import annotations

import re
import unicodedata

MAX_EXAMINED_CHARS = 600  # of a person's own words that are examined
_MAX_WRAPPED_CHARS = 50  # a line that is longer may continue in the next one

# What a plain request consists of, without the fillers; separated by commas.
_REQUESTS_BY_LANGUAGE = {
    "en": """
        unsubscribe, unsubscribe now, unsub, remove, leave, stop, stop sending, cancel, opt out, take off, delete,
        no more, do not send, dont send, do not send more, dont send more, do not want, dont want, do not contact,
        be removed, be unsubscribed, no longer
    """,
    "de": """
        abmelden, abmeldung, melden ab, melde ab, abgemeldet werden, abbestellen, abbestellung, bestellen ab,
        bestelle ab, austragen, austragung, tragen aus, tragen aus aus, trage aus, kündigen, kündige, kündigung,
        entfernen, entferne, löschen, lösche, streichen, streiche, nehmen aus, nehmen aus aus, nimm aus, raus,
        deabonnieren, keine mehr, nicht mehr, nicht mehr schicken
    """,
    "fr": """
        désabonner, désabonne, désabonnez, désabonnement, désinscrire, désinscris, désinscrivez, désinscription,
        retirer, retirez, supprimer, supprimez, enlever, enlevez, résilier, résiliation, arrêter, arrêtez, arrêter
        envoyer, arrêtez envoyer, plus recevoir, ne plus recevoir, ne plus
    """,
    "es": """
        baja, dar baja, darse baja, darme baja, dame baja, deme baja, denme baja, cancelar, cancelen, cancele,
        desuscribir, desuscribirme, desuscribirse, desuscríbanme, eliminar, eliminarme, eliminen, elimíneme,
        elimínenme, quitar, quitarme, quítenme, quíteme, borrarme, bórrenme, bórreme, no recibir, no recibir más, no
        más
    """,
    "it": """
        disiscrivere, disiscriversi, disiscrivermi, disiscrivetemi, disiscrivimi, disiscrizione, cancellare,
        cancellarmi, cancellatemi, cancellami, cancellazione, annullare, disdire, disdetta, rimuovere, rimuovermi,
        rimuovetemi, rimuovimi, rimozione, togliere, togliermi, toglietemi, toglimi, non ricevere più, non più
    """,
    "pt": "descadastrar, descadastrem, descadastre, cancelamento, remover, remova, removam",
    "nl": "afmelden, meld af, uitschrijven, schrijf uit, opzeggen, verwijderen, verwijder, geen meer",
    "zh": "退订, 取消订阅, 取消, 不再接收, 不要再发, 退訂, 取消訂閱, 不要再發",
}
_FILLERS_BY_LANGUAGE = {
    "en": """
        hello hi hey dear sir madam team all please kindly thanks thank you cheers regards best kind yours sincerely
        sorry just i id im me my mine myself we us our would like want wish to could can will your from of off the
        this that these those a an any it for by via at as soon possible immediately now today asap again here and
        ok list lists mailing mailinglist newsletter newsletters mail mails email emails e subscription
        subscriptions letter letters issue issues messages message address database distribution receive receiving
        getting get sending send
    """,
    "de": """
        hallo guten tag morgen abend moin liebe lieber liebes sehr geehrte geehrter damen und herren bitte danke
        vielen dank mfg mit freundlichen grüßen grüsse grüße gruß lg viele freundliche beste ich mich mir mein meine
        meinen meiner uns unser wir möchte würde gern gerne hiermit sofort umgehend jetzt heute doch mal einfach sie
        ihr ihre ihren ihrem ihrer du dein deine deinen euer eure eurem euren von vom aus dem der die das den des
        diesem diesen dieser dieses einen eine ein verteiler liste mailingliste verteilerliste abo abonnement
        adresse werden erhalten bekommen empfangen weitere weiteren schicken senden zu für ab sich
    """,
    "fr": """
        bonjour salut bonsoir madame monsieur merci beaucoup bien cordialement svp veuillez s il vous plaît plait te
        se je j moi m mon ma mes nous souhaite souhaiterais voudrais veux aimerais désire de du d la le l les cette
        cet ce ces votre vos notre lettre infolettre diffusion courriel courriels à recevoir être immédiatement
    """,
    "es": """
        hola buenos días buenas tardes estimados estimado señores gracias muchas saludos por favor yo mi mis quiero
        quisiera deseo solicito pido del el los las esta este estos su sus lista boletín boletines correo correos
        electrónico electrónicos suscripción dirección recibir en al
    """,
    "it": """
        ciao buongiorno buonasera salve gentili gentile signori grazie mille saluti cordiali per favore cortesia
        prego io mia mio vi vorrei voglio desidero chiedo di dalla dal della dei delle lo gli questa questo vostra
        vostro iscrizione indirizzo posta elettronica ricevere
    """,
    "pt": """
        olá oi obrigado obrigada eu meu minha da do das dos desta deste boletim inscrição quero gostaria
    """,
    "nl": "dag geachte alsjeblieft alstublieft graag ik wil mij mijn van voor het deze nieuwsbrief lijst",
}
_CHINESE_FILLERS = re.compile(
    r"请|請|帮我|幫我|我要|我想|把我|谢谢|謝謝|您好|你好|从|從|您的|你的|邮件|郵件|列表|名单|一下|了|吧|我|给|給|再|的"
)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


_REQUESTS = {_fold(one).strip() for line in _REQUESTS_BY_LANGUAGE.values() for one in line.split(",")}
_FILLERS = {_fold(word) for line in _FILLERS_BY_LANGUAGE.values() for word in line.split()}
# Some fillers belong to a request ("melden Sie mich ab", "take me off"): a sentence is read with them and without.
_PARTICLES = {word for request in _REQUESTS for word in request.split()}
_SENTENCE_END = re.compile(r"[.!…;；]+(?:\s+|$)|[。！]|\n")
_WORD = re.compile(r"[^\W_]+")


def is_plain_request(text: str) -> bool:
    """Return whether one of a text's sentences asks to unsubscribe and says nothing else."""
    return any(_is_request(sentence) for sentence in _split_sentences(text[:MAX_EXAMINED_CHARS]))


def _split_sentences(text: str) -> list[str]:
    """Split at full stops, and at the end of each line that is too short to continue in the next one."""
    lines = (line.strip() for line in text.splitlines())
    return _SENTENCE_END.split("".join(line + ("\n" if len(line) < _MAX_WRAPPED_CHARS else " ") for line in lines))


def _is_request(sentence: str) -> bool:
    words = _WORD.findall(_fold(sentence).replace("don't", "dont").replace("don’t", "dont"))
    if not words:
        return False
    without_fillers = (" ".join(word for word in words if word not in fillers) for fillers in (_FILLERS, _FILLERS - _PARTICLES))
    return _CHINESE_FILLERS.sub("", "".join(words)) in _REQUESTS or any(left in _REQUESTS for left in without_fillers)
