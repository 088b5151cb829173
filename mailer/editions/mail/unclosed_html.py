"""Close all elements that a Markdown text leaves open: of two, Python-Markdown's ``md_in_html`` loses all text."""

from __future__ import annotations

import markdown
from markdown.extensions import md_in_html


class _ClosingExtractor(md_in_html.HTMLExtractorExtra):
    mdstack: list[str]  # the tags that are open

    def close(self) -> None:
        super().close()
        while self.mdstack:
            self.handle_endtag(self.mdstack[0])


class _HtmlBlocks(md_in_html.HtmlBlockPreprocessor):
    def run(self, lines: list[str]) -> list[str]:
        parser = _ClosingExtractor(self.md)
        parser.feed("\n".join(lines))
        parser.close()
        return "".join(parser.cleandoc).split("\n")


def close_elements(converter: markdown.Markdown) -> None:
    """Let a converter with ``md_in_html`` close every element that a text leaves open."""
    if type(converter.preprocessors["html_block"]) is md_in_html.HtmlBlockPreprocessor:
        converter.preprocessors.register(_HtmlBlocks(converter), "html_block", 20)
