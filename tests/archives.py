"""Made-up exports of other newsletter tools, in their documented forms."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_COLUMNS = ("post_id", "post_date", "is_published", "email_sent_at", "type", "audience", "title", "subtitle", "podcast_url")
HELLO = """<div class="captioned-image-container"><figure><a class="image-link" href="https://substackcdn.com/a/b.png"><div>
<picture><source srcset="x"><img src="https://substackcdn.com/b.png" alt="Alt [x]"></picture></div></a>
<figcaption>A caption</figcaption></figure></div><p>Hello <strong>bold </strong>text, 5 * 3, &lt;b&gt;, &amp;amp;.<a
class="footnote-anchor" href="#footnote-1">1</a></p>
<p class="button-wrapper" data-attrs="{}"><a href="%%checkout_url%%">Subscribe</a></p>
<div class="subscription-widget-wrap"><form><input type="email"></form></div>
<div class="youtube-wrap" data-attrs="{&quot;videoId&quot;:&quot;abc&quot;}"><iframe src="https://example.org/e"></iframe></div>
<div class="footnote"><a class="footnote-number">1</a><div class="footnote-content"><p>A note.</p></div></div>"""
PAID = "<p>Free to read.</p><div class='paywall-jump'></div><p>Only for those who pay.</p>"


def substack_row(identity: str, title: str, date: str = "2024-01-05T10:00:00.000Z", **more: str) -> dict[str, str]:
    """One row of ``posts.csv``."""
    row = {"post_id": identity, "title": title, "post_date": date, "is_published": "true", "type": "newsletter"}
    return {**row, "audience": "everyone", **more}


SUBSTACK_ROWS = (
    substack_row("101.hello-world", "Hello & <world>", subtitle="A first, long line"),
    substack_row("102.paid-post", "Paid", "2024-02-05T10:00:00.000Z", audience="only_paid"),
    substack_row("103.a-draft", "Not yet", "", is_published="false"),
)
SUBSTACK_TEXTS = {"101.hello-world": HELLO, "102.paid-post": PAID, "103.a-draft": "<p>Half of a thought.</p>"}


def write_substack(
    path: Path, rows: Sequence[Mapping[str, str]] = SUBSTACK_ROWS, texts: Mapping[str, str] = SUBSTACK_TEXTS
) -> Path:
    """Write Substack's ZIP file; return its path."""
    return write_zip(path, {"posts.csv": write_table(rows), **{f"posts/{name}.html": html for name, html in texts.items()}})


def write_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return ``posts.csv``."""
    table = io.StringIO()
    writer = csv.DictWriter(table, _COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def write_zip(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a ZIP file with these contents; return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


WORDPRESS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:excerpt="http://wordpress.org/export/1.2/excerpt/"
 xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:wp="http://wordpress.org/export/1.2/"><channel><title>Site</title><link>https://old.example</link>
<wp:wxr_version>1.2</wp:wxr_version>
<wp:author><wp:author_id>1</wp:author_id><wp:author_login><![CDATA[anna]]></wp:author_login>
<wp:author_email><![CDATA[a@example.org]]></wp:author_email>
<wp:author_display_name><![CDATA[Anna Müller]]></wp:author_display_name></wp:author>
<item><title>Classic &amp; old</title><link>https://old.example/2020/01/classic/</link>
<pubDate>Wed, 01 Jan 2020 10:00:00 +0000</pubDate><dc:creator><![CDATA[anna]]></dc:creator>
<guid isPermaLink="false">https://old.example/?p=1</guid><description></description>
<content:encoded><![CDATA[First line
second line

[caption id="a" align="alignleft" width="300"]<a href="https://old.example/wp-content/uploads/2020/01/a.jpg"><img
src="https://old.example/wp-content/uploads/2020/01/a-300x200.jpg" alt="A" /></a> The caption[/caption]

https://www.youtube.com/watch?v=abc

[gallery ids="1,2"]

[code language="python"]x = 1 < 2

y = 2[/code]

<ul>
<li>one</li>
</ul>]]></content:encoded><excerpt:encoded><![CDATA[The <b>excerpt</b>]]></excerpt:encoded>
<wp:post_date_gmt>2020-01-01 09:30:00</wp:post_date_gmt><wp:post_name>classic</wp:post_name><wp:status>publish</wp:status>
<wp:post_type>post</wp:post_type><category domain="category" nicename="n"><![CDATA[News]]></category>
<category domain="category" nicename="uncategorized"><![CDATA[Uncategorized]]></category>
<category domain="post_tag" nicename="t"><![CDATA[Tag, one]]></category></item>
<item><title><![CDATA[Blocks &amp; <em>more</em>]]></title><link>https://old.example/?p=2</link><dc:creator>bob</dc:creator>
<content:encoded><![CDATA[<!-- wp:paragraph --><p>Block text.</p><!-- /wp:paragraph -->]]></content:encoded>
<wp:post_date_gmt>0000-00-00 00:00:00</wp:post_date_gmt><wp:post_name></wp:post_name><wp:status>draft</wp:status>
<wp:post_type>post</wp:post_type></item>
<item><title>About</title><wp:post_type>page</wp:post_type><wp:status>publish</wp:status></item>
<item><title>a.jpg</title><wp:post_type>attachment</wp:post_type><wp:status>inherit</wp:status></item>
<item><title>Gone</title><wp:post_type>post</wp:post_type><wp:status>trash</wp:status></item>
</channel></rss>"""
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://old.example/"><title>Feed</title>
<entry><title>Atom entry</title><id>tag:old.example,2021:1</id><link href="https://old.example/posts/atom-entry.html"/>
<published>2021-05-01T12:00:00+02:00</published><updated>2021-06-01T12:00:00Z</updated><author><name>Anna</name></author>
<category term="python"/><content type="html">&lt;p&gt;See &lt;a href="../other.html"&gt;that&lt;/a&gt;.&lt;/p&gt;</content>
</entry>
</feed>"""


def ghost(*posts: Mapping[str, object], **tables: object) -> str:
    """Ghost's export as JSON."""
    rows = [{"id": str(number), "type": "post", "status": "published", **post} for number, post in enumerate(posts, 1)]
    return json.dumps({"db": [{"meta": {"version": "5.0"}, "data": {"posts": rows, **tables}}]})


GHOST_POST = {
    "title": "From Ghost", "slug": "from-ghost", "visibility": "paid", "published_at": "2023-03-01T08:00:00.000Z",
    "feature_image": "__GHOST_URL__/content/images/2023/03/top.png", "custom_excerpt": "An excerpt",
    "html": '<p>Free.</p><!--members-only--><p>Paid <a href="__GHOST_URL__/other/">link</a>.</p>'
    '<div class="kg-card kg-signup-card"><form></form></div>'
    '<figure class="kg-card kg-bookmark-card"><a class="kg-bookmark-container" href="https://e.org/"><div '
    'class="kg-bookmark-title">A bookmark</div><img src="https://e.org/icon.png"></a></figure>',
}  # fmt: skip
