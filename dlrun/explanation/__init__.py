"""Maps of examples by several explainers, and how far they can be trusted."""
