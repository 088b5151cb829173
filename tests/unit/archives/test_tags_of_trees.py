"""What the tags of Jekyll and Hugo become, and what raw HTML in Markdown does: nothing useful is lost without a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailer.archives.archive_files import ArchiveContents
from mailer.archives.liquid_tags import LiquidSite, expand_liquid
from mailer.archives.markdown_posts import convert_markdown
from mailer.archives.shortcodes import expand_hugo

INCLUDES = {
    "note.md": "A note on {{ include.about }}.",
    "links.md": "{% comment %}all links{% endcomment %}\n[one]: https://e.org/1\n[two]: https://e.org/2\n",
    "loop.html": "{% for one in site.posts %}x{% endfor %}",
    "round.md": "{% include round.md %}",
}
SITE = LiquidSite({"2020-01-02-other": "/other/"}, {"site.title": "Old"}, INCLUDES.get)
LIQUID = {
    "{% gist 0123456789abcdef %}": "<https://gist.github.com/0123456789abcdef>",
    "{% gist anna/0123456789abcdef a.py %}": "<https://gist.github.com/anna/0123456789abcdef>",
    "{% youtube abc-123 %}": "<https://www.youtube.com/watch?v=abc-123>",
    '{% include youtubePlayer.html id="abc" %}': "<https://www.youtube.com/watch?v=abc>",
    "{% twitter https://twitter.com/a/status/1 maxwidth=500 %}": "<https://twitter.com/a/status/1>",
    "{% img left /images/a.png 300 200 'A' %}": "![](/images/a.png)",
    '{% include figure.html src="/a.png" caption=\'Cap\' alt="A" %}': '![A](/a.png "Cap")',
    '{% include note.md about="this" %}': "A note on this.",
    "[one]\n\n{% include links.md %}": "[one]\n\n[one]: https://e.org/1",
    "{{ page.title | escape }} of {{ site.title }}{{ site.baseurl }}": "My title of Old",
    '{% assign x = "y" %}{{ x }}': "y",
    "{% capture x %}y{% endcapture %}{{x}}": "y",
    "[a]({% post_url 2020-01-02-other %})": "[a](/other/)",
    "{% raw %}\n```\n{{ x }}\n```\n{% endraw %}": "\n```\n{{ x }}\n```\n",
    "```\n{{ x }}{% include note.md %}\n```": "```\n{{ x }}{% include note.md %}\n```",
}


@pytest.mark.parametrize("text", LIQUID)
def test_a_tag_of_jekyll_becomes_markdown(text: str) -> None:
    assert expand_liquid(text, SITE, {"title": "My title"}) == (LIQUID[text], [])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{% include loop.html %}", "include"),
        ("{% include round.md %}", "include"),
        ("{{ x | size }}", "x"),
        ("{% if a %}{% endif %}", "if"),
    ],
)
def test_a_tag_of_jekyll_that_is_removed_is_shown_in_the_report(text: str, name: str) -> None:
    made, lost = expand_liquid(text, SITE, {})
    assert (made, len(lost)) == ("", 1)
    assert lost[0].startswith(f"1 of the tag {name!r} removed, such as {{")


HUGO = {
    '{{< gist anna 0123456789abcdef "a.py" >}}': "<https://gist.github.com/anna/0123456789abcdef>",
    "{{< instagram BWNjjyYFxVx >}}": "<https://www.instagram.com/p/BWNjjyYFxVx/>",
    '{{< slides src="https://s.example/1" >}}': "<https://s.example/1>",
    'Write {{</* figure src="a.png" */>}}.': 'Write {{< figure src="a.png" >}}.',
}


@pytest.mark.parametrize("text", HUGO)
def test_a_shortcode_of_hugo_becomes_markdown(text: str) -> None:
    assert expand_hugo(text) == (HUGO[text], [])


RAW = {
    "a\n\n<script>\nalert(1)\n</script>\n\nb": ("a\n\n\n\nb", ["1 <script> removed."]),
    "<style>p { color: red }</style>b": ("b", ["1 <style> removed."]),
    'a\n\n<iframe src="https://v.example/1?a=b&amp;c=d" width="1"></iframe>\n\nb':
        ("a\n\n<https://v.example/1?a=b&c=d>\n\nb", ["Embedded content became a link: https://v.example/1?a=b&c=d."]),
    '<div><iframe src="//v.example/1"></iframe></div>':
        ('<div><a href="https://v.example/1">https://v.example/1</a></div>', ["Embedded content became a link: https://v.example/1."]),
    "a `<script>` b `</script>`": ("a `<script>` b `</script>`", []),
    "```\n<script>x</script>\n```": ("```\n<script>x</script>\n```", []),
    "a\n\n    <script>x</script>\n": ("a\n\n    <script>x</script>\n", []),
    "<script>a": ("<script>a", []),
    '<noscript><img src="/a.png"></noscript><noscript>b</noscript>': ('<img src="/a.png">', []),
}  # fmt: skip


@pytest.mark.parametrize("text", RAW)
def test_scripts_in_markdown_are_removed_and_frames_become_links(tmp_path: Path, text: str) -> None:
    converted = convert_markdown(text, "", ArchiveContents(tmp_path))
    assert (converted.body, converted.lost) == RAW[text]


@pytest.mark.parametrize(
    "piece", ["{% raw %}", "{% include ", "{{ x", "{{< a ", "{{< highlight go >}}", "<script>", "<iframe ", "`", "{{</* "]
)
def test_unclosed_tags_take_linear_time(tmp_path: Path, piece: str) -> None:
    text = piece * (100_000 // len(piece))
    assert len(expand_liquid(text, SITE, {})[1] + expand_hugo(text)[1]) <= 2
    assert convert_markdown(text, "", ArchiveContents(tmp_path)).body
