"""One script for each claim about speed, each against a peer in the same run."""
