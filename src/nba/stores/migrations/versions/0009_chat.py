"""the chat platform: what it told, tasks given to it, and who is told otherwise."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chat_callbacks",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_chat_callbacks")),
    )
    op.create_table(
        "chat_marks",
        sa.Column("mark_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("marked_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("mark_id", name=op.f("pk_chat_marks")),
    )
    op.create_table(
        "chat_ends",
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("clerk", sa.String(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=False),
        sa.Column("ended_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("external_id", "clerk", name=op.f("pk_chat_ends")),
    )
    op.create_table(
        "chat_tasks",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("clerk_id", sa.String(), nullable=False),
        sa.Column("clerk", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("remote_id", sa.String(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("began_at", sa.DateTime(), nullable=True),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("settled_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_chat_tasks")),
    )
    with op.batch_alter_table("chat_tasks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_chat_tasks_state"), ["state"], unique=False)
    op.create_table(
        "chat_recipients",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("action_id", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("outcome_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("task_id", "customer_id", name=op.f("pk_chat_recipients")),
    )
    with op.batch_alter_table("chat_recipients", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_chat_recipients_action_id"), ["action_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_chat_recipients_customer_id"), ["customer_id"], unique=False
        )


def downgrade() -> None:
    for name in ("chat_recipients", "chat_tasks", "chat_ends", "chat_marks", "chat_callbacks"):
        op.drop_table(name)
