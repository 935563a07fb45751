"""Caffe's texts and files: reading, upgrading, converting, writing. No protobuf object leaves this room."""
