"""The oneDNN engine: planned primitives for the NumPy backend on the CPU."""
