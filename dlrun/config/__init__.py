"""From the command line to a checked config: what dlrun adds to Hydra."""
