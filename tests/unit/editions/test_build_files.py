"""Files of a build."""

from __future__ import annotations

import sys

import orjson

from mailer.editions.source import build_files


def test_serializing_adds_no_second_copy_to_long_texts() -> None:
    texts = {"html": "…" * 100_000, "inner": ["😀" * 50_000, 1, None], "plain": "x" * 10}
    before = sys.getsizeof(texts["html"]), sys.getsizeof(texts["inner"][0])
    assert orjson.loads(build_files.to_json(texts)) == texts
    assert (sys.getsizeof(texts["html"]), sys.getsizeof(texts["inner"][0])) == before
