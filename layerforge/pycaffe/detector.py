"""caffe.detector"""

from layerforge.pycaffe.classifier import Detector

__all__ = ["Detector"]
