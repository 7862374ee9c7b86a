"""lists laid ready: each clerk's actions as they are shown."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "laid",
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("clerk_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("definitions", sa.String(), nullable=False),
        sa.Column("customer_ids", sa.Text(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("as_of", "clerk_id", name=op.f("pk_laid")),
    )


def downgrade() -> None:
    op.drop_table("laid")
