"""The fields of history as a function with a text body: newer PostgreSQL adds a column to its table again."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008_text_bodies"
down_revision = "0007_erased_people"

SQL = Path(__file__).resolve().parents[2] / "sql" / "schema"


def upgrade() -> None:
    """Make the function anew."""
    # The driver's own cursor: it takes a file of several statements, and no percent sign in it means anything.
    op.get_bind().connection.cursor().execute((SQL / f"{revision}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Leave it: it answers as before."""
