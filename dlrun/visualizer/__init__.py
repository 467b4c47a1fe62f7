"""Pictures of what a network has learned: one kind to a file, all with the contract of :class:`Visualizer`."""
