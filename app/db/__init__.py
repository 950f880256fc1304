"""The service's database: models, the unit of work, the ledger (the one writer of entries) and what reads them."""
