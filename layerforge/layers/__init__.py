"""Layers: one class a type, found by the registry; one file a family."""
