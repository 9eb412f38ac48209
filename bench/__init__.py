"""Measurements, each in a module with `run()`: they print a table and compare within one run.

Figures of two runs, or of two machines, say nothing beside each other: every target is a ratio to
something well known that is measured in the same minutes.
"""
