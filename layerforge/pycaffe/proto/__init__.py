"""caffe.proto"""
