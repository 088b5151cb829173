"""The fake Amazon SES; it lives in the package, because a rehearsal needs it too."""

from __future__ import annotations

from mailer.fakes.fake_ses_account import ACCESS_KEY, SECRET_KEY
from mailer.fakes.fake_ses_process import FakeSes

__all__ = ["ACCESS_KEY", "SECRET_KEY", "FakeSes"]
