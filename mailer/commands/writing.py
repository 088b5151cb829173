"""The writers' commands, in one list for ``mailer.cli``."""

from mailer.commands.check import check

COMMANDS = (check,)
