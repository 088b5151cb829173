"""Where the paid part of a post begins: tools mark one place, after which everything is paid."""

from __future__ import annotations

MORE_LINE = "<!-- more -->"  # what comes before it is the free beginning of a paid issue
PAYWALL_WORD = "postmergeherethepaidtextbegins"  # stays whole while HTML becomes Markdown


def cut_at_paywall(body: str, premium: bool) -> str:
    """Return the Markdown with our mark at the paywall; of a post that everybody may read, without any."""
    free, mark, rest = body.partition(PAYWALL_WORD)
    between = f"\n\n{MORE_LINE}\n\n" if premium else "\n\n"
    return f"{free.rstrip()}{between}{rest.lstrip()}".strip() if mark else body.strip()
