"""Referrals, history, quarantine, runs and staging."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001_initial"
down_revision = None

SQL = Path(__file__).resolve().parents[2] / "sql" / "schema"


def upgrade() -> None:
    """Create everything."""
    # The driver's own cursor: it takes a file of several statements, and no percent sign in it means anything.
    op.get_bind().connection.cursor().execute((SQL / f"{revision}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Refuse: dropping the tables would lose the referrals."""
    message = "There is no way back before the first revision: it would drop the referrals. Drop the tables by hand."
    raise NotImplementedError(message)
