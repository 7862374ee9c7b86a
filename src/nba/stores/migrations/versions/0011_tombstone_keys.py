"""Keyed digests of the other keys by which an erased customer was known."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tombstone_keys",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("receipt_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_tombstone_keys")),
    )


def downgrade() -> None:
    op.drop_table("tombstone_keys")
