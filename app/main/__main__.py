"""`python -m app.main` is `rogatory-server`."""

from app.main import cli

cli()
