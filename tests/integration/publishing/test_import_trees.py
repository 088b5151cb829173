"""``postmerge import`` of Jekyll, Hugo and Buttondown: front matter, dates in names, bundles, shortcodes, old addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import archives
from tests.integration.publishing.test_import import bring, folder, run, written

__all__ = ["folder"]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
JEKYLL: dict[str, str | bytes] = {
    "_config.yml": "title: Old\npermalink: /:year/:month/:title/\n"
    "defaults: [{scope: {path: '', type: posts}, values: {author: Anna}}, {scope: {type: pages}, values: {author: Eve}}]\n",
    "_posts/2020-03-04-my-post.md": '---\ntitle: "My: post"\ntags: [one, two words]\ncategories: News\n'
    "description: Said shortly\nredirect_from:\n  - /older/\nlayout: post\n---\n\n![Alt](/assets/a.png)\n\n"
    '{% highlight ruby %}\nputs "{{ x }}"\n{% endhighlight %}\n\nSee [that]({% post_url 2020-05-06-second %}) and'
    " [home]({{ site.baseurl }}/about/). {% include ad.html %}\n\n```\n{% raw %} stays\n```\n",
    "_posts/2020-05-06-second.markdown": "---\ntitle: Second\nslug: 2020-05-06-second\npermalink: /own/place.html\n"
    "tags: a b\n---\nText {% include words.md %}\n",
    "_includes/words.md": "of **{{ page.title }}**.",
    "_posts/old/2019-01-02-third.html": "---\ntitle: Third\npublished: false\n---\n<p>Some <b>HTML</b>.</p>\n",
    "_posts/undated.md": "---\ntitle: No day\n---\nText.\n",
    "_drafts/later.md": "---\ntitle: Later\n---\nText.\n",
    "assets/a.png": PNG,
    "_site/2020/03/my-post/index.html": "<p>built</p>",
    "about.md": "---\ntitle: About\n---\nA page.\n",
}
HUGO: dict[str, str | bytes] = {
    "hugo.toml": 'ignoreFiles = ["\\\\.knit\\\\.md$", "(a*)*b*$"]\n[permalinks]\nposts = "/:year/:slug/"\n',
    "content/posts/bundle/index.md": '+++\ntitle = "A bundle"\ndate = 2021-02-03T10:00:00+01:00\ntags = ["x"]\n'
    'aliases = ["/old/path/"]\nsummary = "Short"\n+++\n\n{{< figure src="pic.png" alt="P" caption="A caption" >}}\n\n'
    '{{< youtube abc123 >}}\n\n{{% note %}}\nKept.\n{{% /note %}}\n\n[ref]({{< relref "other.md" >}})\n\n'
    "{{< highlight go >}}\nx := 1\n{{< /highlight >}}\n",
    "content/posts/bundle/pic.png": PNG,
    "content/posts/bundle/index.knit.md": "---\ntitle: Made by a program\ndate: 2021-02-03\n---\nText.\n",
    "content/posts/2021-04-05-named.md": "---\ntitle: Named\nslug: by-slug\ndraft: false\n---\nText.\n",
    "content/posts/wip.md": "---\ntitle: Unfinished\ndraft: true\n---\nText.\n",
    "content/posts/_index.md": "---\ntitle: List\n---\n",
    "content/notes/plain.md": '{\n"title": "JSON head", "date": "2021-06-07"\n}\nText.\n',
    "content/about.md": "---\ntitle: About\n---\nA page.\n",
}
BUTTONDOWN: dict[str, str | bytes] = {
    "emails/hello.md": "---\nid: em_1\nsubject: Hello there\npublish_date: 2022-03-04T05:06:07.000Z\nstatus: sent\n"
    "slug: hello\nemail_type: public\ndescription: In short\n---\n\n![A](../media/a.png)\n\nDear {{ subscriber.email }}.\n",
    "emails/paid.md": "---\nsubject: Paid\npublish_date: 2022-04-04\nstatus: sent\nemail_type: premium\n---\n\nText.\n",
    "emails/draft.md": "---\nsubject: A draft\nstatus: draft\n---\n\n"
    "<!-- buttondown-editor-mode: fancy --><p>Some <b>HTML</b></p>\n",
    "media/a.png": PNG,
}


def lay_out(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def test_a_jekyll_tree_comes_along_with_its_addresses(folder: Path, tmp_path: Path) -> None:
    found = bring(folder, None, lay_out(tmp_path / "site", JEKYLL), "--apply")
    assert found["tool"] == "Jekyll"
    home = folder / "content"
    assert (home / "issues/2020-03-04-my-post.md").read_text("utf-8") == (
        "Title: My: post\nDate: 2020-03-04 00:00\nSlug: my-post\nFormerly: /2020/03/my-post/, /older/\nAuthors: Anna\n"
        "Tags: News, one, two words\nSummary: Said shortly\nSend: no\n\n![Alt]({static}/images/my-post/a.png)\n\n"
        '```ruby\nputs "{{ x }}"\n```\n\nSee [that](/own/place.html) and [home](/about/). \n\n```\n{% raw %} stays\n```\n'
    )
    assert (home / "images/my-post/a.png").read_bytes() == PNG
    names = {path.name: path.read_text("utf-8") for path in (home / "issues").iterdir()}
    assert names.keys() == {
        "2020-03-04-my-post.md", "2020-05-06-second.md", "2019-01-02-third.md", "undated.md", "later.md",
    }  # fmt: skip
    assert "Tags: a, b\n" in names["2020-05-06-second.md"]
    assert names["2020-05-06-second.md"].endswith("Text of **Second**.\n")
    assert "Some **HTML**." in names["2019-01-02-third.md"]
    assert all("Status: draft" in names[name] for name in ("2019-01-02-third.md", "undated.md", "later.md"))
    said = [f"{one['where']}: {one['message']}" for one in found["remarks"]]
    assert "_posts/2020-03-04-my-post.md: 1 of the tag 'include' removed, such as {% include ad.html %}." in said
    assert run(folder, None, "build").returncode == 0
    site = folder / "build/site"
    assert all((site / name).is_file() for name in ("2020/03/my-post/index.html", "older/index.html", "own/place.html"))
    assert bring(folder, None, tmp_path / "site", "--apply")["written"] == 0


def test_a_hugo_tree_comes_along_with_bundles_and_shortcodes(folder: Path, tmp_path: Path) -> None:
    found = bring(folder, None, archives.write_zip(tmp_path / "hugo.zip", HUGO), "--apply")
    assert found["tool"] == "Hugo"
    home = folder / "content"
    assert (home / "issues/2021-02-03-bundle.md").read_text("utf-8") == (
        "Title: A bundle\nDate: 2021-02-03 09:00\nSlug: bundle\nFormerly: /2021/bundle/, /old/path/\nTags: x\nSummary: Short\n"
        'Send: no\n\n![P]({static}/images/bundle/pic.png "A caption")\n\n<https://www.youtube.com/watch?v=abc123>\n\n\nKept.\n\n\n'
        "[ref](other/)\n\n```go\nx := 1\n```\n"
    )
    names = {path.name: path.read_text("utf-8") for path in (home / "issues").iterdir()}
    assert "Formerly: /2021/by-slug/\n" in names["2021-04-05-by-slug.md"]
    assert "Formerly: /notes/plain/\n" in names["2021-06-07-plain.md"]
    assert "Status: draft" in names["wip.md"]
    said = [one["message"] for one in found["remarks"]]
    assert "1 of the tag 'note' removed, such as {{% note %}}." in said
    assert "1 text without a date left out, as pages are." in said
    assert "The pattern '(a*)*b*$' was not understood: no file was left out by it." in said


def test_buttondowns_tree_and_export_come_along(folder: Path, tmp_path: Path) -> None:
    found = bring(folder, None, lay_out(tmp_path / "buttondown", BUTTONDOWN), "--apply")
    assert found["tool"] == "Buttondown"
    names = {path.name: path.read_text("utf-8") for path in (folder / "content/issues").iterdir()}
    assert names["2022-03-04-hello.md"] == (
        "Title: Hello there\nDate: 2022-03-04 05:06\nSlug: hello\nFormerly: /archive/hello/\nSummary: In short\nSend: no\n\n"
        "![A]({static}/images/hello/a.png)\n\nDear {{ subscriber.email }}.\n"
    )
    assert "Access: premium" in names["2022-04-04-paid.md"]
    assert names["draft.md"].endswith("Status: draft\n\nSome **HTML**\n")
    assert any("template tags stay in the text" in one["message"] for one in found["remarks"])
    table = "subject,body,publish_date,status,slug,absolute_url\n"
    row = 'From a table,"Text, of **it**.",2022-05-05T00:00:00Z,sent,table,https://buttondown.com/x/archive/table/\n'
    (tmp_path / "emails.csv").write_text(table + row)
    assert bring(folder, None, tmp_path / "emails.csv", "--apply")["tool"] == "Buttondown"
    assert "Text, of **it**." in (folder / "content/issues/2022-05-05-table.md").read_text("utf-8")


HEADS = {
    "YAML that is not": ("---\ntitle: a: b\n\tbad\n---\nText.\n", "has an error"),
    "a bomb of aliases": ("---\na: &a [x, x]\nb: &b [*a, *a]\ntitle: T\n---\nText.\n", "has an error"),
    "TOML that is not": ("+++\ntitle = \n+++\nText.\n", "has an error"),
    "no end": ("---\ntitle: T\nText.\n", "has no end"),
    "a list": ("---\n- a\n---\nText.\n", "no fields"),
}


@pytest.mark.parametrize("kind", HEADS)
def test_bad_front_matter_is_a_line_of_the_report_and_the_text_comes_along(folder: Path, tmp_path: Path, kind: str) -> None:
    text, line = HEADS[kind]
    found = bring(folder, None, lay_out(tmp_path / "site", {"_posts/2020-01-01-a.md": text}), "--apply")
    assert any(line in one["message"] for one in found["remarks"]), found
    assert "Text." in written(folder)["content/issues/2020-01-01-a.md"]


def test_names_with_slashes_and_dots_stay_inside(folder: Path, tmp_path: Path) -> None:
    head = "---\nsubject: X\nslug: ../../../etc/cron.d/x\npublish_date: 2022-01-01\n---\nText. ![](../../../etc/passwd)\n"
    bring(folder, None, lay_out(tmp_path / "b", {"emails/a.md": head}), "--apply")
    assert list(written(folder)) == ["content/issues/2022-01-01-etc-cron-d-x.md"]
    assert run(folder, None, "build").returncode == 0
    assert not (tmp_path / "etc").exists()
