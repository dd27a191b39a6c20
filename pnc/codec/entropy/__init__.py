"""Entropy coding: integer priors and the range coder that they drive."""
