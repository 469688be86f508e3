"""The accounts of every row, companies, and people's own links."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004_accounts_and_links"
down_revision = "0003_every_change"

SQL = Path(__file__).resolve().parents[2] / "sql" / "schema"


def upgrade() -> None:
    """Add tables, columns, a view, functions and a trigger."""
    # The driver's own cursor: it takes a file of several statements, and no percent sign in it means anything.
    op.get_bind().connection.cursor().execute((SQL / f"{revision}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove the view, the functions and the trigger; tables and columns stay, with what they hold."""
    op.execute("drop view partner_center_domains")
    op.execute("drop trigger partner_center_apply_link_override on partner_center_link_overrides")
    op.execute("drop function partner_center_apply_link_override()")
    op.execute("drop function partner_center_merged(text[], text[])")
