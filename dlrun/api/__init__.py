"""dlrun from Python: the verbs as functions, and what they leave behind as objects."""
