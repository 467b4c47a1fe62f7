"""What a run records: scalars, figures, tables, curves."""
