"""The program's commands, one module a topic; ``mailer.cli`` puts them together."""
