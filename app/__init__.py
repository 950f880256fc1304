"""The service: it stores what it cannot read, and records what it cannot change."""
