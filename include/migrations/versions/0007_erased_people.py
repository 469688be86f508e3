"""Whom the sync must not store again, by fingerprint."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007_erased_people"
down_revision = "0006_inbox"

SQL = Path(__file__).resolve().parents[2] / "sql" / "schema"


def upgrade() -> None:
    """Make the table, or bring back the one that a downgrade has put aside."""
    # The driver's own cursor: it takes a file of several statements, and no percent sign in it means anything.
    op.get_bind().connection.cursor().execute((SQL / f"{revision}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Put the table aside; older code stores people again, and the next upgrade goes on where this one ended."""
    op.execute("alter table partner_center_erased_people rename to partner_center_erased_people_kept")
