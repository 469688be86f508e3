"""${message}"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

SQL = Path(__file__).resolve().parents[2] / "sql" / "schema"


def upgrade() -> None:
    """Run the revision's SQL file."""
    # The driver's own cursor: it takes a file of several statements, and no percent sign in it means anything.
    op.get_bind().connection.cursor().execute((SQL / f"{revision}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    """Say how to go back."""
    raise NotImplementedError
