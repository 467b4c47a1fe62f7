"""The run folder, its status, sweeps of runs, and what follows on a run."""
