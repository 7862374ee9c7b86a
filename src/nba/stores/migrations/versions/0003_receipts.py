"""who asked for an erasure, and whether its digest is keyed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tombstones", schema=None) as batch_op:
        batch_op.add_column(sa.Column("requested_by", sa.String(), nullable=True))
        batch_op.add_column(
            sa.Column("is_keyed", sa.Boolean(), server_default=sa.false(), nullable=False)
        )


def downgrade() -> None:
    with op.batch_alter_table("tombstones", schema=None) as batch_op:
        batch_op.drop_column("is_keyed")
        batch_op.drop_column("requested_by")
