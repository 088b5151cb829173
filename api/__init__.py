"""The HTTP edge, one app on one port.

``app`` puts it together; ``pages`` holds the public forms, ``v1`` the REST API, ``docs`` its description, ``outbox`` the pages
for development, ``ops`` health and metrics, ``archive`` the built site. ``edge`` is the layer around them all, ``problems``
what is said when something is wrong, ``render`` how a page is made, ``desk`` what every route needs.
"""
