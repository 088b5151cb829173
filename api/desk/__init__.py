"""The operator's desk: pages behind a sign-in, off unless POSTMERGE_DESK is on."""

from __future__ import annotations

from api.desk import controls, pages, sign_in

ROUTERS = (sign_in.router, pages.router, controls.router)
