"""The model zoo: a folder a model."""
