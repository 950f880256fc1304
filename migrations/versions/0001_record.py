"""The tables of the record: chains, ledger, log and stamps, and the triggers that keep it insert-only.

The triggers are a seat belt for the service's own mistakes, not a promise to anybody: what an operator changes in the
tables is found by whoever holds a checkpoint.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSERT_ONLY = ("ledger", "statements", "log_leaves", "stamps", "validation")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    create_tables()
    if op.get_bind().dialect.name == "sqlite":
        for table in INSERT_ONLY:
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_refuses_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is insert only'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is insert only'; END $$"
    )
    for table in INSERT_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def create_tables() -> None:
    op.create_table(
        "chains",
        sa.Column("handle", sa.String(length=64), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "exchange",
                "registry",
                "service",
                name="chainkind",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("head_hash", sa.LargeBinary(), nullable=True),
        sa.Column("head_salt", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("handle", name=op.f("pk_chains")),
    )
    op.create_index(op.f("ix_chains_kind_owner"), "chains", ["kind", "owner"], unique=False)
    op.create_table(
        "checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("signed_at", sa.String(length=27), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "cosignatures",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", "key", name=op.f("pk_cosignatures")),
    )
    op.create_index(op.f("ix_cosignatures_key_size"), "cosignatures", ["key", "size"], unique=False)
    op.create_table(
        "sequencer_term",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_sequencer_term_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sequencer_term")),
    )
    op.create_table(
        "stamps",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tsa", sa.String(length=512), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("reply", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", "number", name=op.f("pk_stamps")),
    )
    op.create_index(op.f("ix_stamps_tsa_at"), "stamps", ["tsa", "at"], unique=False)
    op.create_table(
        "statements",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statements")),
    )
    op.create_table(
        "tail_heads",
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_tail_heads")),
    )
    op.create_table(
        "tiles",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "n", name=op.f("pk_tiles")),
    )
    op.create_table(
        "validation",
        sa.Column("tsa", sa.String(length=512), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=2048), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tsa", "sha256", name=op.f("pk_validation")),
    )
    op.create_table(
        "ledger",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("chain", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.LargeBinary(), nullable=False),
        sa.Column("statement_id", sa.String(length=64), nullable=True),
        sa.Column("recorded_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(["chain"], ["chains.handle"], name=op.f("fk_ledger_chain_chains")),
        sa.ForeignKeyConstraint(["statement_id"], ["statements.id"], name=op.f("fk_ledger_statement_id_statements")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
        sa.UniqueConstraint("chain", "seq", name=op.f("uq_ledger_chain_seq")),
        sa.UniqueConstraint("label", name=op.f("uq_ledger_label")),
        sa.UniqueConstraint("statement_id", name=op.f("uq_ledger_statement_id")),
    )
    op.create_table(
        "log_leaves",
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=True),
        sa.Column("ledger_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name=op.f("fk_log_leaves_ledger_id_ledger")),
        sa.PrimaryKeyConstraint("idx", name=op.f("pk_log_leaves")),
        sa.UniqueConstraint("ledger_id", name=op.f("uq_log_leaves_ledger_id")),
    )
    op.create_index(op.f("ix_log_leaves_bucket_idx"), "log_leaves", ["bucket", "idx"], unique=False)
    op.create_table(
        "pending",
        sa.Column("ledger_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["ledger_id"], ["ledger.id"], name=op.f("fk_pending_ledger_id_ledger")),
        sa.PrimaryKeyConstraint("ledger_id", name=op.f("pk_pending")),
    )
