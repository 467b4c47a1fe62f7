"""Training: the trainer, where it stands, one step, the scoring loop."""
