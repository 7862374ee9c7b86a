"""who is told by another channel when the clerk does not act."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fallbacks",
        sa.Column("action_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("clerk_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("begins_at", sa.DateTime(), nullable=False),
        sa.Column("deadline", sa.DateTime(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("armed_at", sa.DateTime(), nullable=False),
        sa.Column("settled_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("action_id", name=op.f("pk_fallbacks")),
    )
    with op.batch_alter_table("fallbacks", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_fallbacks_state_deadline"), ["state", "deadline"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_fallbacks_customer_id"), ["customer_id"], unique=False)


def downgrade() -> None:
    op.drop_table("fallbacks")
