"""Stripe: the only place that knows its library. Plain facts in and out; no database."""

from __future__ import annotations
