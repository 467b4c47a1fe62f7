"""Certificates: bounds on what any perturbation can do to a network's outputs."""
