"""Which version of a referral is newer, to the 100 ns that Partner Center sends, and by when it was read."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002_which_version_is_newer"
down_revision = "0001_initial"

SQL = Path(__file__).resolve().parents[2] / "sql" / "schema"


def upgrade() -> None:
    """Add columns and functions."""
    # The driver's own cursor: it takes a file of several statements, and no percent sign in it means anything.
    op.get_bind().connection.cursor().execute((SQL / f"{revision}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove the functions; the columns stay, with what they hold, and the older code does not mind them."""
    op.execute("drop function partner_center_tracked(partner_center_referrals)")
    op.execute("drop index partner_center_referrals_direction")
    op.execute("drop function partner_center_folded(text)")
    op.execute(
        "drop function partner_center_may_replace"
        "(timestamptz, smallint, timestamptz, timestamptz, smallint, timestamptz)"
    )
