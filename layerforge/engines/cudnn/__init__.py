"""The cuDNN engine of the CuPy backend: graphs through nvidia-cudnn-frontend."""
