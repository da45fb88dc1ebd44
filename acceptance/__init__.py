"""Acceptance tests of docs/reliability.md: `make trust`."""
