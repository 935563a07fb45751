"""Replaces itself by `layerforge.pycaffe`: reached only where `layerforge run` put this folder on the path."""

from layerforge.pycaffe.alias import install_as_caffe

install_as_caffe()
