"""ONNX: a net as a graph of ONNX's operators that gives the same numbers."""
