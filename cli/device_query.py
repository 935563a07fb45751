"""`layerforge device_query`: what this machine has for computing."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

from layerforge import __version__
from layerforge.cli import machine, options
from layerforge.cli.flags import Command, UsageError
from layerforge.cli.report import Row, collect_rows, listing, rows


@rows("device_query")
def processor(query: SimpleNamespace) -> Iterator[Row]:
    cores, why = machine.usable_cores()
    yield "CPU", machine.cpu_model()
    yield "Cores usable", f"{cores} ({why})"


@rows("device_query")
def matrix_library(query: SimpleNamespace) -> Iterator[Row]:
    for library in machine.matrix_libraries():
        kind = "BLAS" if library["user_api"] == "blas" else "OpenMP"
        kernels = f", {library['architecture']} kernels" if library.get("architecture") else ""
        version = f" {library['version']}" if library.get("version") else ""
        yield kind, f"{library['internal_api']}{version}{kernels}, {library['num_threads']} threads"
    yield from machine.cpu_engine()
    warning = machine.core_type_warning()
    if warning:
        yield "Warning", warning


@rows("device_query")
def compute_types(query: SimpleNamespace) -> Iterator[Row]:
    yield "CPU compute_type", machine.compute_types()


@rows("device_query")
def graphics(query: SimpleNamespace) -> Iterator[Row]:
    found, reason = machine.gpus()
    if not found:
        yield "GPU", f"none: {reason}"
    for i, name in enumerate(found):
        if query.wanted is None or i in query.wanted:
            yield f"GPU {i}", name
    yield from machine.gpu_libraries()


@rows("device_query")
def libraries(query: SimpleNamespace) -> Iterator[Row]:
    yield "layerforge", __version__
    yield from machine.versions()


def run(args: SimpleNamespace) -> int:
    """Prints every registered row.

    Raises DeviceError when a GPU that was asked for is not there.
    """
    wanted = None
    if args.gpu and args.gpu != "all":
        parts = options.names(args.gpu)
        if not parts or not all(part.isdigit() for part in parts):
            raise UsageError(f"--gpu takes numbers separated by commas, or all; got {args.gpu!r}")
        wanted = {int(part) for part in parts}
    with options.limited(args.threads):
        print(listing(collect_rows("device_query", SimpleNamespace(wanted=wanted))))
    if args.gpu:
        for number in sorted(wanted or {0}):
            machine.require_gpu(number)
    return 0


command = Command(
    "device_query", "shows the processor, the libraries and the GPUs", run, (*options.CAFFE, options.THREADS),
    examples=(("layerforge device_query", "everything about this machine"),
              ("layerforge device_query --gpu 0", "fails when there is no GPU 0")),
)
