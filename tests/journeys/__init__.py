"""Transcripts of a phone: what is typed, what is shown, which SMS come."""
