"""LayerForge trains, tests, times and applies nets described by Caffe's protobuf text files."""

__version__ = "0.1.0"
