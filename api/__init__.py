"""The HTTP layer: one app on one port.

``app`` assembles it. ``v1`` holds the REST API, ``web`` the public pages, the archive and the development pages, ``common``
what both share (middleware, errors, rendering, languages), ``server`` the server processes. ``docs`` serves the API reference,
``inbound_webhooks`` receives events from SES and Stripe, ``monitoring`` reports health and metrics.
"""
