"""The writers' commands, in one list for ``mailer.cli``."""

from mailer.commands.check import check
from mailer.commands.comment import comment
from mailer.commands.gallery import gallery
from mailer.commands.new import new
from mailer.commands.write import write

COMMANDS = (new, write, check, comment, gallery)
