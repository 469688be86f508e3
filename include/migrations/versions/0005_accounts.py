"""Several partner accounts, each with its tables in a schema of its own."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005_accounts"
down_revision = "0004_accounts_and_links"

SQL = Path(__file__).resolve().parents[2] / "sql" / "schema"


def upgrade() -> None:
    """Add a column, a view, and functions that work in the schema that they stand in."""
    # The driver's own cursor: it takes a file of several statements, and no percent sign in it means anything.
    op.get_bind().connection.cursor().execute((SQL / f"{revision}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Remove the view; columns and functions stay, which the older code does not mind.

    Raises:
        NotImplementedError: in the schema of another account than the default one.
    """
    if op.get_bind().exec_driver_sql("select current_schema()").scalar() != "public":
        message = (
            "There is no way back before the accounts in the schema of one of them: older code knows the default "
            "account alone. Take the account off HUNTER_PARTNER_CENTER_CONNECTIONS instead; its rows stay."
        )
        raise NotImplementedError(message)
    op.execute("drop view if exists partner_center_all_referrals")
