"""All commands about paid subscriptions."""

from __future__ import annotations

from mailer.commands.money import money, paid
from mailer.commands.stripe import stripe

COMMANDS = (stripe, money, paid)
