"""Jobs that are retried until they are done: Stripe's events, and the customers of erased subscribers."""

from __future__ import annotations

from dataclasses import dataclass

from mailer.core.db import Row, Tx


@dataclass(frozen=True)
class RetriedJobs:
    """A table of jobs with ``due_at``, ``attempts``, ``done_at`` and ``detail``; ``columns`` are what a worker needs."""

    table: str
    key: str
    columns: str

    def claim(self, tx: Tx, number: int) -> list[Row]:
        """Return up to so many due jobs.

        They are due again in a minute, later with increasing delays, in case the worker or Stripe fails.
        """
        return tx.all(
            f"""
            UPDATE {self.table}
            SET due_at = now() + interval '1 minute' * least(power(2, attempts), 60), attempts = attempts + 1
            WHERE {self.key} IN (
                SELECT {self.key} FROM {self.table}
                WHERE done_at IS NULL AND due_at <= now()
                ORDER BY due_at, {self.key}
                LIMIT %(number)s
                FOR UPDATE SKIP LOCKED
            )
            RETURNING {self.columns}
            """,
            number=number,
        )

    def record_failure(self, tx: Tx, key: str, detail: str) -> None:
        """Store why a job failed this time."""
        tx.run(f"UPDATE {self.table} SET detail = %(detail)s WHERE {self.key} = %(key)s", key=key, detail=detail[:500])

    def has_work(self, tx: Tx) -> bool:
        """Return whether any job is due."""
        return bool(tx.value(f"SELECT EXISTS (SELECT FROM {self.table} WHERE done_at IS NULL AND due_at <= now())"))
