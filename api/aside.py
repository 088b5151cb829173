"""Work that waits for the database, beside the loop: a cheaper way there than the framework's own, for what is asked most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")

_POOL = ThreadPoolExecutor(32, thread_name_prefix="aside")


async def aside(work: Callable[Given, Result], *given: Given.args, **named: Given.kwargs) -> Result:
    """What the work returns or raises; meanwhile the loop goes on."""
    assert not named
    return await asyncio.get_running_loop().run_in_executor(_POOL, work, *given)
