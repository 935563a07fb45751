"""Blob: data and diff as NumPy arrays that stay live."""

from layerforge.core.host_view import HostView as Blob

__all__ = ["Blob"]
