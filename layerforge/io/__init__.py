"""Weights, solver states and mean files: between the files of Caffe and what a net holds."""
