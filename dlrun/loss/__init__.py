"""Losses that torch does not have in the form that a task needs."""
