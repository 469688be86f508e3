"""What the pages need to be quick at a million referrals: three covering indexes, and the columns in them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006_inbox"
down_revision = "0005_accounts"

SQL = Path(__file__).resolve().parents[2] / "sql" / "schema"


def upgrade() -> None:
    """Add the columns, the trigger that keeps them, and the indexes."""
    # The driver's own cursor: it takes a file of several statements, and no percent sign in it means anything.
    op.get_bind().connection.cursor().execute((SQL / f"{revision}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Bring the former index back; the columns and their trigger stay, which the older code does not mind."""
    op.execute(
        "drop index if exists partner_center_referrals_inbox, partner_center_referrals_search, "
        "partner_center_referrals_totals"
    )
    op.execute("drop index if exists partner_center_companies_last_seen")
    op.execute(
        "create index if not exists partner_center_referrals_updated_at on partner_center_referrals (updated_at)"
    )
    op.execute(
        "alter table partner_center_referrals reset (autovacuum_vacuum_scale_factor, "
        "autovacuum_vacuum_insert_scale_factor, autovacuum_analyze_scale_factor)"
    )
