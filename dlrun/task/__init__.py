"""What a batch means: forward, loss, metrics."""
