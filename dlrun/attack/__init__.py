"""Adversarial attacks: the smallest change of an image's pixels that changes its class."""
