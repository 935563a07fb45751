"""Data: databases, pictures and HDF5 files read, transformed and fetched ahead, in an order that can be resumed."""
