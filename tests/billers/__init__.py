"""Payments against a real PostgreSQL and a real HTTP biller on a free port."""
