"""Blob: what `net.blobs` and `net.params` hold."""

from layerforge.core.host_view import HostView as Blob

__all__ = ["Blob"]
