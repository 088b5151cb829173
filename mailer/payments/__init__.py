"""Stripe: the only package that uses its library. Plain facts in and out; no database."""

from __future__ import annotations
