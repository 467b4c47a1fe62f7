"""Pictures: each function returns a matplotlib figure or an image tensor."""
