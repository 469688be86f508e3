"""Watermarks, what vanished, and whole versions: each change once, and provable."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003_every_change"
down_revision = "0002_which_version_is_newer"

SQL = Path(__file__).resolve().parents[2] / "sql" / "schema"


def upgrade() -> None:
    """Add columns, a table, a view and functions."""
    # The driver's own cursor: it takes a file of several statements, and no percent sign in it means anything.
    op.get_bind().connection.cursor().execute((SQL / f"{revision}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove the view and the functions; table and columns stay, with what they hold."""
    op.execute("drop view partner_center_referral_timeline")
    op.execute("drop function partner_center_restore(timestamptz)")
    op.execute("drop function partner_center_referrals_as_of_run(text)")
    op.execute("drop function partner_center_referrals_as_of(timestamptz)")
    op.execute("drop function partner_center_is_unexpected(text, text, text, text)")
