"""The stand-in for a recording device refuses what cannot be recorded, and nothing else."""

import numpy as np
import pytest

from layerforge.core.blob import Blob
from layerforge.layers.base import Layer
from layerforge.testing.capture import NotRecordable, RecordingBackend, check_recordable

REFUSED = {
    "a new array": lambda xp, x, y, m: xp.zeros(3),
    "a new array like another": lambda xp, x, y, m: xp.empty_like(x),
    "a new array by NumPy's own function": lambda xp, x, y, m: np.zeros_like(x),
    "a temporary": lambda xp, x, y, m: x + y,
    "a comparison": lambda xp, x, y, m: x > 0,
    "a function without out": lambda xp, x, y, m: xp.exp(x),
    "a function of a number": lambda xp, x, y, m: xp.sqrt(2.0),
    "where": lambda xp, x, y, m: xp.where(m, x, y),
    "a masked function": lambda xp, x, y, m: xp.add(x, y, out=x, where=m),
    "a sum without out": lambda xp, x, y, m: x.sum(axis=1),
    "a sum that is added": lambda xp, x, y, m: y[0].__iadd__(x.sum(axis=0)),
    "a mean": lambda xp, x, y, m: x.mean(),
    "an index of the largest": lambda xp, x, y, m: x.argmax(axis=1),
    "a running sum": lambda xp, x, y, m: xp.cumsum(x),
    "matmul": lambda xp, x, y, m: xp.matmul(x, x, out=y),
    "the matmul operator": lambda xp, x, y, m: x @ x,
    "dot": lambda xp, x, y, m: xp.dot(x, x, out=y),
    "einsum": lambda xp, x, y, m: xp.einsum("ij,ij->i", x, y),
    "a boolean index": lambda xp, x, y, m: x[m],
    "a boolean index that is written": lambda xp, x, y, m: x.__setitem__(m, 0),
    "an integer index": lambda xp, x, y, m: x[[0, 1]],
    "a single value": lambda xp, x, y, m: x[0, 0].item(),
    "a float": lambda xp, x, y, m: float(x[0, 0]),
    "a truth value": lambda xp, x, y, m: bool(x[0, 0]),
    "a question": lambda xp, x, y, m: 1 if xp.any(m) else 0,
    "a loop over values": lambda xp, x, y, m: list(x[0]),
    "a list": lambda xp, x, y, m: x.tolist(),
    "a copy": lambda xp, x, y, m: x.copy(),
    "another type": lambda xp, x, y, m: x.astype(np.float64),
    "a reshape that copies": lambda xp, x, y, m: x.T.reshape(-1),
    "flatten": lambda xp, x, y, m: x.flatten(),
    "a host array that is written": lambda xp, x, y, m: x.__setitem__(0, np.ones(3)),
    "a host array that is added": lambda xp, x, y, m: xp.add(x, np.ones(3, np.float32), out=x),
    "a host array that is copied": lambda xp, x, y, m: xp.copyto(x, np.ones(3)),
    "a scattered addition": lambda xp, x, y, m: np.add.at(x, 0, 1),
    "take with a mode": lambda xp, x, y, m: xp.take(x, m, out=x, mode="clip"),
}
RECORDED = {
    "a function with out": lambda xp, x, y, m: xp.exp(x, out=y),
    "an operator in place": lambda xp, x, y, m: x.__iadd__(y),
    "a number": lambda xp, x, y, m: xp.multiply(x, 0.5, out=y),
    "a NumPy number": lambda xp, x, y, m: xp.multiply(x, np.float32(0.5), out=y),
    "a mask with out": lambda xp, x, y, m: xp.greater(x, 0, out=m),
    "copyto with a mask": lambda xp, x, y, m: xp.copyto(x, y, where=m),
    "copyto of a number": lambda xp, x, y, m: xp.copyto(x, 0),
    "a sum with out": lambda xp, x, y, m: xp.sum(x, axis=1, out=y[0]),
    "a sum by the method": lambda xp, x, y, m: x.sum(axis=1, out=y[0]),
    "the largest with out": lambda xp, x, y, m: xp.max(x, axis=0, out=y[1]),
    "a view": lambda xp, x, y, m: xp.add(xp.broadcast_to(x[0], (3, 3)), y.T.swapaxes(0, 1), out=y),
    "a slice that is filled": lambda xp, x, y, m: x[:, 1:].fill(0),
    "a number that is written": lambda xp, x, y, m: x.__setitem__((0, 0), 1.0),
    "an element as an array": lambda xp, x, y, m: xp.multiply(x, y[0, 0], out=x),
    "a reshape of the same memory": lambda xp, x, y, m: xp.exp(x.reshape(9), out=y.reshape(-1)),
    "a constant": lambda xp, x, y, m: xp.add(x, xp.pi, out=x),
    "the limits of a type": lambda xp, x, y, m: xp.maximum(x, float(xp.finfo(x.dtype).tiny), out=x),
}


@pytest.fixture
def device():
    backend = RecordingBackend()
    x, y = (backend.xp.ones((3, 3), np.float32) for _ in range(2))
    return backend, (backend.xp, x, y, x > 0)


@pytest.mark.parametrize("what", REFUSED)
def test_recording_refuses(device, what):
    backend, arrays = device
    with backend.recording(), pytest.raises(NotRecordable):
        REFUSED[what](*arrays)


@pytest.mark.parametrize("what", RECORDED)
def test_recording_allows(device, what):
    backend, arrays = device
    with backend.recording():
        RECORDED[what](*arrays)


def test_everything_is_allowed_outside_a_recording(device):
    backend, (xp, x, y, m) = device
    assert type(x[m]) is type(x + y) is type(xp.zeros(3)) is type(x.sum(axis=0))
    assert float((x @ x).sum()) == 27


def test_new_memory_is_refused(device):
    backend, _ = device
    blob = Blob((3,))
    with backend.recording(), pytest.raises(NotRecordable, match="memory was asked for"):
        blob.data.array(backend.representation)


def test_kernels_take_contiguous_device_arrays_and_never_answer(device):
    backend, (xp, x, y, _) = device
    with backend.recording():
        assert backend.ops.matmul(x, x, trans_b=True, out=y) is None
        assert y[0, 0] is not None
        with pytest.raises(NotRecordable, match="host array"):
            backend.ops.add_bias(y, np.ones(3, np.float32))
        with pytest.raises(NotRecordable, match="in order"):
            backend.ops.add_bias(y[:, :2], x[0, :2])
    assert (np.asarray(y) == 3).all()


class Doubling(Layer):
    """y = 2 x, the careless way"""

    def reshape(self, bottom, top):
        top[0].reshape(bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * 2

    def backward(self, top, propagate_down, bottom):
        self.xp.multiply(top[0].diff, 2, out=bottom[0].diff)


class Careful(Doubling):
    def forward(self, bottom, top):
        self.xp.multiply(bottom[0].data, 2, out=top[0].data)


class Refusing(Doubling):
    captured = False


def test_layer_that_allocates_is_found():
    with pytest.raises(NotRecordable, match="multiply makes a new array; give out="):
        check_recordable(Doubling, {}, [np.ones((2, 3))])


def test_layer_that_declares_its_memory_passes():
    check_recordable(Careful, {}, [np.ones((2, 3))])


def test_layer_that_refuses_must_say_why():
    with pytest.raises(AssertionError, match="uncaptured_reason"):
        check_recordable(Refusing, {}, [np.ones((2, 3))])
