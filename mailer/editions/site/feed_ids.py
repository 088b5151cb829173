"""Pelican's feeds with the ids that their entries had at another address: a site that moves shows nothing as new."""

from __future__ import annotations

from typing import Any

from feedgenerator import get_tag_uri
from pelican.writers import Writer

from mailer.editions.site.incremental_writer import ThriftyWriter


class FeedWriter(Writer):  # type: ignore[misc]
    """Pelican's writer; POSTMERGE_FEED_IDS_URL is the address that the ids are made from."""

    def _add_item_to_the_feed(self, feed: Any, item: Any) -> None:
        super()._add_item_to_the_feed(feed, item)
        link = self.urljoiner(self.settings["POSTMERGE_FEED_IDS_URL"], item.url)
        feed.items[-1]["unique_id"] = get_tag_uri(link, item.date)


class ThriftyFeedWriter(FeedWriter, ThriftyWriter):
    """The same, with the pages of the last build."""
