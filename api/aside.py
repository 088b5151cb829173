"""Work that waits for the database, beside the loop: a cheaper way there than the framework's own, for what is asked most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

Given = TypeVarTuple("Given")
Result = TypeVar("Result")

_POOL = ThreadPoolExecutor(16, thread_name_prefix="aside")  # each may hold a connection to Postgres


async def aside(work: Callable[[*Given], Result], *given: *Given) -> Result:
    """What the work returns or raises; meanwhile the loop goes on."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, work, *given)
