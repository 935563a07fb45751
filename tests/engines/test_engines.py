"""Which engines a net gets, by backend, environment and compute_type."""

from types import SimpleNamespace

import pytest

from layerforge import engines
from layerforge.core.errors import DeviceError
from layerforge.engines import default_engines
from layerforge.engines.onednn import library

CPU, GPU = SimpleNamespace(name="numpy"), SimpleNamespace(name="cupy")


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    monkeypatch.delenv(engines.VARIABLE, raising=False)


def processor(monkeypatch, bf16):
    monkeypatch.setattr(library, "load", lambda: SimpleNamespace(bf16=bf16))


def missing(monkeypatch):
    def load():
        raise DeviceError("oneDNN cannot be loaded", hint="pip install it")

    monkeypatch.setattr(library, "load", load)


@pytest.mark.parametrize("kind", ["FP16", "TF32"])
def test_the_cpu_refuses_the_types_of_gpus(kind):
    with pytest.raises(DeviceError, match=f"compute_type: {kind} is for GPUs, the CPU has FP32 and BF16"):
        default_engines(CPU, compute_type=kind)


def test_bf16_needs_a_processor_that_has_it(monkeypatch):
    processor(monkeypatch, False)
    with pytest.raises(DeviceError, match="needs a processor with AVX-512 BF16 or AMX"):
        default_engines(CPU, compute_type="BF16")


def test_bf16_needs_onednn(monkeypatch):
    missing(monkeypatch)
    with pytest.raises(DeviceError, match="compute_type: BF16 needs oneDNN: oneDNN cannot be loaded\n.*pip install"):
        default_engines(CPU, compute_type="BF16")


def test_fp32_needs_nothing(monkeypatch):
    missing(monkeypatch)
    assert default_engines(CPU, compute_type="FP32") == []


@pytest.mark.parametrize("backend", [CPU, GPU], ids=["CPU", "GPU"])
def test_a_type_asks_for_an_engine_that_the_environment_switches_off(monkeypatch, backend):
    monkeypatch.setenv(engines.VARIABLE, "NONE")
    with pytest.raises(DeviceError, match="compute_type: BF16 needs an engine, and LAYERFORGE_ENGINE=NONE"):
        default_engines(backend, compute_type="BF16")


def test_a_mistyped_type_gets_the_nearest():
    with pytest.raises(DeviceError, match="there is no compute_type: BF61\n.*BF16"):
        default_engines(CPU, compute_type="BF61")


@pytest.fixture
def cudnn(monkeypatch):
    """Gives the kind that the engine is asked for."""
    monkeypatch.setattr(engines, "_cudnn", lambda backend, kind, keep: kind)


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize("kind", ["TF32", "BF16", "FP16"])
def test_on_a_gpu_a_type_switches_cudnn_on(kind):
    assert default_engines(GPU, compute_type=kind) == [kind]


@pytest.mark.usefixtures("cudnn")
def test_on_a_gpu_cudnn_is_taken_in_fp32_too():
    assert default_engines(GPU) == ["FP32"]


def test_without_cudnn_the_kernels_of_the_backend_run_in_fp32_and_the_reason_is_said_once(monkeypatch, caplog):
    def broken(backend, kind, keep):
        raise DeviceError("nvidia-cudnn-frontend is not installed", hint="pip install it")

    monkeypatch.setattr(engines, "_cudnn", broken)
    engines._say_once.cache_clear()
    assert default_engines(GPU) == default_engines(GPU) == []
    assert [record.message for record in caplog.records] == [
        "cuDNN is not used: nvidia-cudnn-frontend is not installed. The GPU's own kernels run"
    ]


@pytest.mark.usefixtures("cudnn")
@pytest.mark.parametrize(("wish", "kind", "got"), [("CUDNN", "", "FP32"), ("CUDNN", "BF16", "BF16"),
                                                   ("CUDNN:TF32", "", "TF32"), ("cudnn:fp16", "BF16", "FP16")])
def test_the_environment_wins_over_the_text(monkeypatch, wish, kind, got):
    monkeypatch.setenv(engines.VARIABLE, wish)
    assert default_engines(GPU, compute_type=kind) == [got]


def test_a_type_without_cudnn_says_what_is_missing(monkeypatch):
    def broken(backend, kind, keep):
        raise DeviceError("nvidia-cudnn-frontend is not installed", hint="pip install it")

    monkeypatch.setattr(engines, "_cudnn", broken)
    with pytest.raises(DeviceError, match="compute_type: FP16 needs cuDNN: nvidia-cudnn-frontend is not installed"):
        default_engines(GPU, compute_type="FP16")


def test_a_backend_without_engines_has_no_other_type():
    with pytest.raises(DeviceError, match="the backend other has none"):
        default_engines(SimpleNamespace(name="other"), compute_type="BF16")
