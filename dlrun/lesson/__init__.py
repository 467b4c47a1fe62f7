"""Small exact demonstrations: one lesson to a file, all with the contract of :class:`Lesson`."""
