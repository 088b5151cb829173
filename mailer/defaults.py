"""Pelican settings of a newsletter: addresses, feeds, theme, Markdown. ``pelicanconf.py`` imports them and says the rest.

    from mailer.defaults import *

Each can be set again below that line. A site that was built with Pelican before needs none of them, only the plugin.
"""

from __future__ import annotations

from mailer.core import files

PATH = "content"
PAGE_PATHS = ["pages"]
STATIC_PATHS = ["images", "audio"]
THEME = str(files.find_file("theme"))
OUTPUT_PATH = "build/site"
PLUGINS = ["mailer.editions.plugin"]
TIMEZONE = "UTC"
DEFAULT_LANG = "en"
DEFAULT_DATE_FORMAT = "%-d %B %Y"
# The sign-up form posts there; empty means the site's own address.
API_URL = ""

ARTICLE_URL = "issues/{slug}/"
ARTICLE_SAVE_AS = "issues/{slug}/index.html"
ARTICLE_LANG_URL = ARTICLE_URL
ARTICLE_LANG_SAVE_AS = ARTICLE_SAVE_AS
PAGE_URL = "{slug}/"
PAGE_SAVE_AS = "{slug}/index.html"
TAG_URL = "tags/{slug}/"
TAG_SAVE_AS = "tags/{slug}/index.html"
TAGS_SAVE_AS = "tags/index.html"
ARCHIVES_SAVE_AS = "archive/index.html"
CATEGORY_SAVE_AS = ""
AUTHOR_SAVE_AS = ""
DRAFT_SAVE_AS = ""
USE_FOLDER_AS_CATEGORY = False
DIRECT_TEMPLATES = ["index", "archives", "tags", "404", "search"]
SEARCH_SAVE_AS = "search/index.html"
# A picture of each issue for places that show a link as a card.
POSTMERGE_CARDS = True
# The archive can be searched in the browser; False builds no index.
POSTMERGE_SEARCH = True
# Who writes: {"Ada": {"url": "https://ada.example", "picture": "images/ada.jpg"}}; `Author: Ada` names one in an issue.
POSTMERGE_AUTHORS: dict[str, dict[str, str]] = {}
# Emails say that one can reply to them.
POSTMERGE_INVITE_REPLY = False
# Where an issue can be shared by a plain link, with {title} and {url}; {} for nowhere.
POSTMERGE_SHARE = {
    "Bluesky": "https://bsky.app/intent/compose?text={title}%20{url}",
    "LinkedIn": "https://www.linkedin.com/sharing/share-offsite/?url={url}",
    "WhatsApp": "https://wa.me/?text={title}%20{url}",
}
# The sign-up form's own fields, such as {"name": "company", "label": "Company"}: their answers become metadata.
POSTMERGE_FORM_FIELDS: list[dict[str, object]] = []
DEFAULT_PAGINATION = False
RELATIVE_URLS = False
# What follows only names files; titles and dates come from the front matter.
SLUGIFY_SOURCE = "basename"
FILENAME_METADATA = r"(?P<date>\d{4}-\d{2}-\d{2})?.*"

# An issue's address follows its file's name, and the feeds are Postmerge's; a site without this line keeps Pelican's own.
POSTMERGE_ADDRESSES = "files"

FEED_ALL_RSS = "feeds/all.rss.xml"
FEED_ALL_ATOM = "feeds/all.atom.xml"
POSTMERGE_FEED_ALL_JSON = "feeds/all.json"
POSTMERGE_TAG_FEED_RSS = "feeds/tag/{slug}.rss.xml"
POSTMERGE_TAG_FEED_ATOM = "feeds/tag/{slug}.atom.xml"
POSTMERGE_TAG_FEED_JSON = "feeds/tag/{slug}.json"
# Written when an issue has `Audio:`.
POSTMERGE_FEED_PODCAST = "feeds/podcast.rss.xml"
FEED_MAX_ITEMS = 20

MARKDOWN = {
    "extension_configs": {
        "markdown.extensions.extra": {"footnotes": {"SEPARATOR": "-"}},
        "markdown.extensions.admonition": {},
        "markdown.extensions.codehilite": {"css_class": "highlight", "guess_lang": False},
        "markdown.extensions.sane_lists": {},
        "markdown.extensions.toc": {"permalink": False},
        "pymdownx.superfences": {"relaxed_headers": True},  # in lists and quotes, whatever stands after ```
    },
    "output_format": "html",
}
