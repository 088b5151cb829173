"""A MIME message from an edition and a reader."""

from __future__ import annotations

# Stands in an edition's html and text where the reader's own unsubscribe link goes. Plain ASCII letters and digits, so
# that neither HTML escaping nor the CSS inliner nor the plain-text walker touches it.
LEAVE_URL = "xPOSTMERGE0LEAVE0URLx"
