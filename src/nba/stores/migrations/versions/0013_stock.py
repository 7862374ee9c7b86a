"""stock that changed since the night, and what it takes from lists."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stock_now",
        sa.Column("store_id", sa.String(), nullable=False),
        sa.Column("product_id", sa.String(), nullable=False),
        sa.Column("on_hand", sa.Float(), nullable=False),
        sa.Column("ts", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", "product_id", name=op.f("pk_stock_now")),
    )
    op.create_table(
        "withdrawn",
        sa.Column("action_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("action_id", name=op.f("pk_withdrawn")),
    )


def downgrade() -> None:
    op.drop_table("withdrawn")
    op.drop_table("stock_now")
