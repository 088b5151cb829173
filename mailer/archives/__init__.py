"""Archives of other newsletter tools as issues: recognize them, read their posts, convert them to Markdown. No database."""
