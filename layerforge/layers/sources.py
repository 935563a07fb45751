"""What data layers share: a source that is read ahead, its position, and errors that name the layer."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from layerforge.core import threads
from layerforge.core.blob import Blob
from layerforge.core.errors import DataError
from layerforge.core.files import find_path
from layerforge.core.storage import Representation, Storage
from layerforge.data.decoding import CompressedSource, Cut, Decoding
from layerforge.data.prefetch import Prefetch
from layerforge.data.source import Position, Source
from layerforge.data.transform import Transformer, make_transformer
from layerforge.layers.base import Layer
from layerforge.schema.blob_file import read_blob

PREFETCH_BATCHES = 4
log = logging.getLogger("layerforge")


class SourceLayer(Layer):
    """top[i] = array i of the source's next batch

    Subclasses say in `open` where batches come from. Threads start with the first forward. Random numbers depend on the
    seed and the record alone, so `state`, the position of the first batch that no forward has taken yet, is all that a
    resumed run needs.
    """

    bottoms = 0
    arrays, captured, uncaptured_reason = "host", False, "takes its batches from the host"
    threads = 1  # how many batches are made at once
    readers: Callable[[Storage], Sequence[Representation]] | None = None  # how a top is read; the net says so

    def open(self) -> Source:
        """The source, at its first record."""
        raise NotImplementedError

    def setup(self, bottom, top):
        with naming(self):
            self.source = self.open()
            self.shapes = self.source.shapes()
            self._choose_decoder()
        self._read: tuple[Any, Sequence[Representation]] = None, ()
        self.position: Position = self.source.tell()
        self._open: list[Any] = [self.source]  # and the threads, once they run
        self._closing = weakref.finalize(self, _close, self._open)  # when called, or when the layer goes

    def reshape(self, bottom, top):
        for view, shape in zip(top, self.shapes):
            view.reshape(shape)

    def forward(self, bottom, top):
        self.require(bool(self._open), "is closed", hint="build the net again")
        if len(self._open) == 1:
            self._open.append(self.prefetch())
        with naming(self):
            arrays, self.position = self._open[1].get()
        for i, (view, array) in enumerate(zip(top, arrays)):
            if view.shape != array.shape:  # pictures of varying size
                self.shapes[i] = array.shape
                view.reshape(array.shape)
            if isinstance(array, Cut):
                array.write(view.blob, self.backend.representation, self._layout(view.blob))
            else:
                view.data[...] = array

    def prefetch(self) -> Prefetch:
        """Threads that make batches from the source's position on."""
        depth = getattr(self.params, "prefetch", PREFETCH_BATCHES)
        return Prefetch(self.source.read, self.source.make, depth, self.threads)

    def waits(self) -> tuple[int, float]:
        """(how often forward had to wait for a batch, how many seconds in all)"""
        running = self._open[1:]
        return (running[0].waits, running[0].waited_seconds) if running else (0, 0.0)

    def close(self) -> None:
        """Ends the threads and gives files back; a further forward is an error."""
        if hasattr(self, "_closing"):
            self._closing()

    def state(self) -> dict[str, Any]:
        """The position of the next batch not yet taken."""
        return dict(self.position)

    def load_state(self, state: Position) -> None:
        """Goes on from a saved position; what was fetched ahead is dropped.

        Raises DataError when the data is not what it was.
        """
        for prefetch in self._open[1:]:
            prefetch.close()
        del self._open[1:]
        try:
            with naming(self):
                self.source.seek(state)
        except DataError:
            self.source.seek(self.position)
            raise
        self.position = self.source.tell()

    def _choose_decoder(self) -> None:
        """The device decodes where it can, unless the text says CPU."""
        wish = getattr(getattr(self.params, "transform", None), "decode", "CPU")
        if wish == "CPU":
            return
        device, why = getattr(self.backend, "pictures", None), ""
        pictures = self.source.compressed() if isinstance(self.source, CompressedSource) else "this layer decodes there"
        if device is None:
            why = "the net runs on the CPU"
        elif isinstance(pictures, str):
            why = pictures
        else:
            why = device.why_not() or device.refuses(pictures.data)
        if why:
            log.log(logging.WARNING if wish == "GPU" else logging.DEBUG, "%s: pictures are decoded on the CPU: %s",
                    self.definition, why)
        elif isinstance(self.source, CompressedSource):
            self.source.decoding = Decoding(device, self.source.transformer, pictures.color, str(self.definition))
            self.threads = 1  # one at a time uses the whole device

    def _layout(self, blob: Blob) -> Representation | None:
        """The device's layout that alone is read, so that the batch is written in it; None for plain order."""
        if self.readers is None or blob.data.is_lent():
            return None
        if self._read[0] != blob.shape:
            self._read = blob.shape, self.readers(blob.data)
        found = self._read[1]
        return found[0] if len(found) == 1 and hasattr(found[0], "form") else None

    def find(self, name: str, what: str, field: str) -> str:
        """A file the parameters name: in the working folder, else beside the prototxt."""
        return find_path(name, self.folder, what=what, where=self.params.where(field))

    def transformer(self) -> Transformer:
        """The transformer of transform_param."""
        p = self.params.transform

        def load_mean(name: str) -> Any:
            mean = read_blob(find_path(name, self.folder, what="mean file", where=p.where("mean_file")))
            return mean.reshape((1, 1, 1, *mean.shape)[-3:]) if mean.size else mean  # (C, H, W)

        return make_transformer(p, self.phase, self.rng.stream("transform"), load_mean, self.dtype)

    def skipped(self, rand_skip: int) -> int:
        """How many records a rand_skip leaves out at the start, by chance."""
        return int(self.rng.stream("skip").at(0).integers(rand_skip)) if rand_skip else 0

    def decoders(self) -> int:
        """How many threads decode pictures: more would only wait for one another."""
        return min(4, threads.count())


@contextlib.contextmanager
def naming(layer: Layer) -> Iterator[None]:
    """Errors of the data room say which layer met them."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{layer.definition}: {error.message}", where=error.where or layer.definition.where,
                        hint=error.hint) from error


def _close(opened: list[Any]) -> None:
    while opened:  # the threads before the source they read
        opened.pop().close()
