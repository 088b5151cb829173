"""Well-known parts of addresses: names of roles rather than people, and popular domains."""

from __future__ import annotations

_ROLES = """
abuse accounts accounting admin administrator all billing careers compliance contact customerservice devnull dns
enquiries everyone feedback finance ftp hello help helpdesk hostmaster hr info inquiries invoices it jobs legal list
mail mailer-daemon marketing media news newsletter no-reply nobody noc noreply office orders owner postmaster pr press
privacy purchasing root sales security service shop spam staff subscribe support sysadmin team tech
undisclosed-recipients unsubscribe usenet uucp webmaster www
"""
_COMMON = """
gmail.com hotmail.com outlook.com yahoo.com icloud.com googlemail.com live.com aol.com msn.com protonmail.com proton.me
fastmail.com gmx.de gmx.net web.de t-online.de freenet.de posteo.de orange.fr free.fr laposte.net wanadoo.fr sfr.fr
hotmail.fr yahoo.fr hotmail.es yahoo.es yahoo.de qq.com 163.com 126.com sina.com mail.ru yandex.ru libero.it yahoo.co.uk
hotmail.co.uk btinternet.com comcast.net verizon.net att.net me.com mac.com ymail.com pm.me mail.com gmx.com gmx.at
gmx.ch outlook.de outlook.fr outlook.es mailbox.org email.com
"""

ROLES = frozenset(_ROLES.split())  # RFC 2142, and other common ones
COMMON = tuple(_COMMON.split())  # most common first; these are the ones that people mistype

# Domains of one provider whose addresses lead to the same mailbox, and the characters that it ignores in a name.
SAME_MAILBOXES = {
    "googlemail.com": "gmail.com",
    "protonmail.com": "proton.me",
    "pm.me": "proton.me",
    "me.com": "icloud.com",
    "mac.com": "icloud.com",
}
IGNORED_CHARACTERS = {"gmail.com": ".", "proton.me": ".-_"}

# Characters that look like Latin letters: Cyrillic, Greek, Armenian, digits.
LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u04cf\u043c\u0442\u043a\u0432\u051b\u051d\u0433"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03c7\u03b5\u0578\u057d\u0261\u0131\u014201",
    "aeopcyxijsdhlmtkbqwraopviktuxenugilol",
)
