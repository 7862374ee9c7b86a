"""the day of a plan: books, reserves, changes, and what was decided during it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "books",
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("clerk_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("touched", sa.Integer(), nullable=False),
        sa.Column("settled", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("minutes", sa.Float(), nullable=False),
        sa.Column("closes_at", sa.DateTime(), nullable=True),
        sa.Column("absent", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("as_of", "clerk_id", name=op.f("pk_books")),
    )
    op.create_table(
        "reserves",
        sa.Column("action_id", sa.String(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("clerk_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("action_type", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("minutes", sa.Float(), nullable=False),
        sa.Column("action", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("action_id", name=op.f("pk_reserves")),
    )
    op.create_index(
        op.f("ix_reserves_as_of_clerk_id_place"), "reserves", ["as_of", "clerk_id", "place"]
    )
    op.create_index(op.f("ix_reserves_customer_id"), "reserves", ["customer_id"])
    op.create_table(
        "changes",
        sa.Column("change_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("clerk_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("action_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_changes")),
    )
    op.create_index(
        op.f("ix_changes_as_of_clerk_id_version"), "changes", ["as_of", "clerk_id", "version"]
    )
    op.create_index(op.f("ix_changes_customer_id"), "changes", ["customer_id"])
    op.create_table(
        "decisions",
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("clerk_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("decided_at", sa.DateTime(), nullable=False),
        sa.Column("minutes", sa.Float(), nullable=False),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("policy_version", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("as_of", "clerk_id", "sequence", name=op.f("pk_decisions")),
    )
    op.create_table(
        "draws",
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("clerk_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=True),
        sa.Column("action_id", sa.String(), nullable=True),
        sa.Column("propensity", sa.Float(), nullable=False),
        sa.Column("explored", sa.Boolean(), nullable=False),
        sa.Column("alternatives", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "as_of", "clerk_id", "sequence", "customer_id", name=op.f("pk_draws")
        ),
    )
    op.create_index(op.f("ix_draws_customer_id"), "draws", ["customer_id"])


def downgrade() -> None:
    for name in ("draws", "decisions", "changes", "reserves", "books"):
        op.drop_table(name)
