"""Families of nets: what a paper's sizes have in common."""
