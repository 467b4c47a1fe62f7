"""The verbs: one file per command."""
