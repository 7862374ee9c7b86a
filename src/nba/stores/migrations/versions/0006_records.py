"""what a card shows of each customer, packed at night."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("as_of", "customer_id", name=op.f("pk_records")),
    )
    op.create_index(op.f("ix_records_customer_id"), "records", ["customer_id"])


def downgrade() -> None:
    op.drop_table("records")
