"""Tests. Real PostgreSQL, Redis, RQ, HTTP and browser; only the outside world is played."""
