"""cards laid ready, as they are shown."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "laid_cards",
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("definitions", sa.String(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "as_of", name=op.f("pk_laid_cards")),
    )


def downgrade() -> None:
    op.drop_table("laid_cards")
