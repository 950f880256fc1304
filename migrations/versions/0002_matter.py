"""The tables of the matter: authorities, exchanges, packages, uploads, and what requests leave behind."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency",
        sa.Column("principal", sa.String(length=128), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("statement_id", sa.String(length=64), nullable=True),
        sa.Column("ledger_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_created_at"), "idempotency", ["created_at"], unique=False)
    op.create_table(
        "spent_tokens",
        sa.Column("jti", sa.String(length=255), nullable=False),
        sa.Column("expires_at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("jti", name=op.f("pk_spent_tokens")),
    )
    op.create_index(op.f("ix_spent_tokens_expires_at"), "spent_tokens", ["expires_at"], unique=False)
    op.create_table(
        "authorities",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("handle", sa.String(length=64), nullable=False),
        sa.Column("admitted_at", sa.String(length=27), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["handle"], ["chains.handle"], name=op.f("fk_authorities_handle_chains")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authorities")),
        sa.UniqueConstraint("handle", name=op.f("uq_authorities_handle")),
    )
    op.create_table(
        "exchanges",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("handle", sa.String(length=64), nullable=False),
        sa.Column("opened_at", sa.String(length=27), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["handle"], ["chains.handle"], name=op.f("fk_exchanges_handle_chains")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exchanges")),
        sa.UniqueConstraint("handle", name=op.f("uq_exchanges_handle")),
    )
    op.create_table(
        "packages",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("exchange_id", sa.String(length=32), nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "declared",
                "sealed",
                "withdrawn",
                "restricted",
                "recalled",
                "destroyed",
                name="packagestate",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("manifest_id", sa.String(length=64), nullable=True),
        sa.Column("sealed_hash", sa.String(length=64), nullable=True),
        sa.Column("retain_until", sa.String(length=27), nullable=True),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(["exchange_id"], ["exchanges.id"], name=op.f("fk_packages_exchange_id_exchanges")),
        sa.ForeignKeyConstraint(["sender"], ["authorities.id"], name=op.f("fk_packages_sender_authorities")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_packages")),
    )
    op.create_index(op.f("ix_packages_exchange_id_created_at"), "packages", ["exchange_id", "created_at"], unique=False)
    op.create_table(
        "parties",
        sa.Column("exchange_id", sa.String(length=32), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column(
            "part",
            sa.Enum("party", "auditor", name="part", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["authority"], ["authorities.id"], name=op.f("fk_parties_authority_authorities")),
        sa.ForeignKeyConstraint(["exchange_id"], ["exchanges.id"], name=op.f("fk_parties_exchange_id_exchanges")),
        sa.PrimaryKeyConstraint("exchange_id", "authority", name=op.f("pk_parties")),
    )
    op.create_index(op.f("ix_parties_authority_exchange_id"), "parties", ["authority", "exchange_id"], unique=False)
    op.create_table(
        "grants",
        sa.Column("statement_id", sa.String(length=64), nullable=False),
        sa.Column("package_id", sa.String(length=32), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("manifest", "grant", name="grantkind", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("conditional", sa.Boolean(), nullable=False),
        sa.Column("until", sa.String(length=27), nullable=True),
        sa.Column("destroyed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authorities.id"], name=op.f("fk_grants_authority_authorities")),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name=op.f("fk_grants_package_id_packages")),
        sa.ForeignKeyConstraint(["statement_id"], ["statements.id"], name=op.f("fk_grants_statement_id_statements")),
        sa.PrimaryKeyConstraint("statement_id", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_package_id"), "grants", ["package_id"], unique=False)
    op.create_table(
        "items",
        sa.Column("package_id", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column(
            "role",
            sa.Enum("item", "inventory", name="itemrole", native_enum=False, create_constraint=True, length=16),
            nullable=True,
        ),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("part_size", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("blake3", sa.String(length=64), nullable=True),
        sa.Column("key", sa.String(length=512), nullable=False),
        sa.Column("version", sa.String(length=256), nullable=False),
        sa.Column(
            "fixity",
            sa.Enum("ok", "failed", name="fixity", native_enum=False, create_constraint=True, length=16),
            nullable=True,
        ),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name=op.f("fk_items_package_id_packages")),
        sa.PrimaryKeyConstraint("package_id", "id", name=op.f("pk_items")),
    )
    op.create_table(
        "put_headers",
        sa.Column("package_id", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sealing", sa.String(length=16), nullable=False),
        sa.Column("stanzas", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authorities.id"], name=op.f("fk_put_headers_authority_authorities")),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name=op.f("fk_put_headers_package_id_packages")),
        sa.PrimaryKeyConstraint("package_id", "sha256", "authority", name=op.f("pk_put_headers")),
    )
    op.create_table(
        "registered_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("use", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["authority"], ["authorities.id"], name=op.f("fk_registered_keys_authority_authorities")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registered_keys")),
    )
    op.create_table(
        "receipts",
        sa.Column("package_id", sa.String(length=32), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("statement_id", sa.String(length=64), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum("accepted", "rejected", name="outcome", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["authority"], ["authorities.id"], name=op.f("fk_receipts_authority_authorities")),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name=op.f("fk_receipts_package_id_packages")),
        sa.ForeignKeyConstraint(["statement_id"], ["statements.id"], name=op.f("fk_receipts_statement_id_statements")),
        sa.PrimaryKeyConstraint("package_id", "authority", name=op.f("pk_receipts")),
    )
    op.create_table(
        "recipients",
        sa.Column("package_id", sa.String(length=32), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authorities.id"], name=op.f("fk_recipients_authority_authorities")),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name=op.f("fk_recipients_package_id_packages")),
        sa.PrimaryKeyConstraint("package_id", "authority", name=op.f("pk_recipients")),
    )
    op.create_index(op.f("ix_recipients_authority_package_id"), "recipients", ["authority", "package_id"], unique=False)
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("package_id", sa.String(length=32), nullable=False),
        sa.Column("item_id", sa.String(length=32), nullable=False),
        sa.Column("principal", sa.String(length=32), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("part_size", sa.BigInteger(), nullable=False),
        sa.Column("store_token", sa.String(length=2048), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column(
            "way",
            sa.Enum(
                "whole", "windows", "pieces", name="uploadway", native_enum=False, create_constraint=True, length=16
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "open", "complete", "aborted", name="uploadstate", native_enum=False, create_constraint=True, length=16
            ),
            nullable=False,
        ),
        sa.Column("expires_at", sa.String(length=27), nullable=False),
        sa.Column("created_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authorities.id"], name=op.f("fk_uploads_authority_authorities")),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name=op.f("fk_uploads_package_id_packages")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_package_id_item_id"), "uploads", ["package_id", "item_id"], unique=False)
    op.create_index(op.f("ix_uploads_state_expires_at"), "uploads", ["state", "expires_at"], unique=False)
    op.create_table(
        "acceptances",
        sa.Column("grant_id", sa.String(length=64), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("statement_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authorities.id"], name=op.f("fk_acceptances_authority_authorities")),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.statement_id"], name=op.f("fk_acceptances_grant_id_grants")),
        sa.ForeignKeyConstraint(
            ["statement_id"], ["statements.id"], name=op.f("fk_acceptances_statement_id_statements")
        ),
        sa.PrimaryKeyConstraint("grant_id", "authority", name=op.f("pk_acceptances")),
    )
    op.create_table(
        "downloads",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("package_id", sa.String(length=32), nullable=False),
        sa.Column("item_id", sa.String(length=32), nullable=True),
        sa.Column("principal", sa.String(length=32), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("opened_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.String(length=27), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("closed_hash", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["authority"], ["authorities.id"], name=op.f("fk_downloads_authority_authorities")),
        sa.ForeignKeyConstraint(
            ["package_id", "item_id"], ["items.package_id", "items.id"], name=op.f("fk_downloads_package_id_items")
        ),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name=op.f("fk_downloads_package_id_packages")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_downloads")),
    )
    op.create_index(op.f("ix_downloads_closed_expires_at"), "downloads", ["closed", "expires_at"], unique=False)
    op.create_table(
        "grant_headers",
        sa.Column("grant_id", sa.String(length=64), nullable=False),
        sa.Column("item_id", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.statement_id"], name=op.f("fk_grant_headers_grant_id_grants")),
        sa.PrimaryKeyConstraint("grant_id", "item_id", name=op.f("pk_grant_headers")),
    )
    op.create_index(op.f("ix_grant_headers_sha256"), "grant_headers", ["sha256"], unique=False)
    op.create_table(
        "grant_recipients",
        sa.Column("grant_id", sa.String(length=64), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["authority"], ["authorities.id"], name=op.f("fk_grant_recipients_authority_authorities")
        ),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["grants.statement_id"], name=op.f("fk_grant_recipients_grant_id_grants")
        ),
        sa.PrimaryKeyConstraint("grant_id", "authority", name=op.f("pk_grant_recipients")),
    )
    op.create_index(
        op.f("ix_grant_recipients_authority_grant_id"), "grant_recipients", ["authority", "grant_id"], unique=False
    )
    op.create_table(
        "releases",
        sa.Column("grant_id", sa.String(length=64), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("item_id", sa.String(length=32), nullable=False),
        sa.Column("released_at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authorities.id"], name=op.f("fk_releases_authority_authorities")),
        sa.ForeignKeyConstraint(["grant_id"], ["grants.statement_id"], name=op.f("fk_releases_grant_id_grants")),
        sa.PrimaryKeyConstraint("grant_id", "authority", "item_id", name=op.f("pk_releases")),
    )
    op.create_table(
        "partial_uploads",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("upload_id", sa.String(length=32), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=True),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("store_token", sa.String(length=2048), nullable=False),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name=op.f("fk_partial_uploads_upload_id_uploads")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partial_uploads")),
    )
    op.create_index(op.f("ix_partial_uploads_upload_id"), "partial_uploads", ["upload_id"], unique=False)
    op.create_table(
        "partial_parts",
        sa.Column("partial_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["partial_id"], ["partial_uploads.id"], name=op.f("fk_partial_parts_partial_id_partial_uploads")
        ),
        sa.PrimaryKeyConstraint("partial_id", "number", name=op.f("pk_partial_parts")),
    )
    op.create_table(
        "upload_parts",
        sa.Column("upload_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name=op.f("fk_upload_parts_upload_id_uploads")),
        sa.PrimaryKeyConstraint("upload_id", "number", name=op.f("pk_upload_parts")),
    )
