"""LayerTest: a test class of a few lines that checks everything a layer must do.

class TestSwish(LayerTest):
    layer, cases = Swish, [dict(beta=1.0), dict(beta=0.5)]
    def inputs(self, rng): return [rng.normal(size=(2, 3, 4))]
    def expected(self, x, beta): return x / (1 + np.exp(-beta * x))
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import numpy as np

from layerforge.core.errors import LayerError
from layerforge.layers.base import Layer
from layerforge.netdef.types import Phase
from layerforge.testing.capture import check_recordable
from layerforge.testing.gradient import check_gradient
from layerforge.testing.harness import Rig


class LayerTest:
    """Subclass, set `layer` and write `inputs` and `expected`; pytest runs the rest for every case.

    layer      the Layer class
    cases      flat parameters, one dict per case
    phase      the phase all tests run in
    tops       number of tops, None: the least possible
    in_place   the layer must give the same results when its top is its bottom
    gradient   whether backward exists
    kinks      input values where the derivative jumps: inputs are moved away from them for the gradient check
    rtol, atol tolerance of forward in float32 (float64: 1e-9)
    blobs      in `expected`: the layer's parameters as float64 arrays
    """

    layer: ClassVar[type[Layer]]
    cases: ClassVar[list[dict[str, Any]]] = [{}]
    phase: ClassVar[Phase] = Phase.TRAIN
    tops: ClassVar[int | None] = None
    in_place: ClassVar[bool] = False
    gradient: ClassVar[bool] = True
    kinks: ClassVar[tuple[float, ...]] = ()
    rtol: ClassVar[float] = 1e-4
    atol: ClassVar[float] = 1e-5
    gradient_tolerance: ClassVar[float] = 1e-5
    check_bottoms: ClassVar[tuple[int, ...] | None] = None

    def inputs(self, rng: np.random.Generator, **case: Any) -> list[np.ndarray]:
        """The bottoms' values. May take the case's parameters by name."""
        raise NotImplementedError

    def expected(self, *inputs: np.ndarray, **case: Any) -> Any:
        """What the tops must be: an array, or a tuple of arrays, from float64 inputs and the case's parameters."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One run per case."""
        if "case" in metafunc.fixturenames:
            cases = metafunc.cls.cases
            metafunc.parametrize(
                "case", cases, ids=[", ".join(f"{k}={v}" for k, v in case.items()) or "default" for case in cases]
            )
        if "dtype" in metafunc.fixturenames:
            metafunc.parametrize("dtype", [np.float32, np.float64])

    def _inputs(self, case: dict[str, Any]) -> list[np.ndarray]:
        rng = np.random.default_rng(7)
        takes_case = any(
            p.kind is p.VAR_KEYWORD or p.name in case for p in inspect.signature(self.inputs).parameters.values()
        )
        made = self.inputs(rng, **case) if takes_case else self.inputs(rng)
        return [np.asarray(x, np.float64) for x in made]

    def _rig(self, case: dict[str, Any], inputs: list[np.ndarray], **more: Any) -> Rig:
        rig = Rig(self.layer, case, inputs, phase=self.phase, tops=self.tops, **more)
        rng = np.random.default_rng(11)
        for i, p in enumerate(rig.parameters()):
            if i not in rig.layer.fixed:
                p[...] = rng.standard_normal(p.shape) * 0.5
        self.blobs = [p.astype(np.float64) for p in rig.parameters()]
        return rig

    def _weights(self, tops: list[np.ndarray]) -> list[np.ndarray]:
        rng = np.random.default_rng(13)
        return [np.asarray(rng.standard_normal(y.shape)) for y in tops]

    def test_forward_gives_the_formula(self, case: dict[str, Any], dtype: Any) -> None:
        inputs = self._inputs(case)
        got = self._rig(case, inputs, dtype=dtype).forward()
        want = self.expected(*inputs, **case)
        want = want if isinstance(want, (tuple, list)) else (want,)
        assert len(got) >= len(want)
        rtol, atol = (self.rtol, self.atol) if dtype is np.float32 else (1e-9, 1e-9)
        for y, e in zip(got, want):
            assert y.dtype == dtype
            assert y.shape == np.shape(e)
            np.testing.assert_allclose(y, e, rtol=rtol, atol=atol * max(1.0, float(np.abs(e).max(initial=0))))

    def test_gradient_agrees_with_differences(self, case: dict[str, Any]) -> None:
        inputs = self._inputs(case)
        if not self.gradient:
            rig = self._rig(case, inputs)
            weights = self._weights(rig.forward())
            try:
                rig.backward(weights, [True] * len(inputs))
            except LayerError as error:
                assert "no gradient" in str(error)
                return
            raise AssertionError(f"{self.layer.type} has a backward, but its test says that it has none")
        for x in inputs:
            for kink in self.kinks:
                x += np.where(np.abs(x - kink) < 0.01, 0.05, 0)
        check_gradient(
            self.layer,
            case,
            inputs,
            phase=self.phase,
            tops=self.tops,
            tolerance=self.gradient_tolerance,
            check_bottoms=self.check_bottoms,
        )

    def test_reshape_twice_gives_the_same_result(self, case: dict[str, Any]) -> None:
        inputs = self._inputs(case)
        rig, other = self._rig(case, inputs), self._rig(case, inputs)
        rig.forward()
        rig.step.reshape()
        for a, b in zip(other.layer.rng._root._streams.values(), rig.layer.rng._root._streams.values()):
            b.draws = a.draws
        if self.layer.updates_blobs:
            for mine, fresh in zip(rig.parameters(), other.parameters()):
                mine[...] = fresh
        for y, e in zip(rig.forward(inputs), other.forward(inputs)):
            np.testing.assert_array_equal(y, e)

    def test_reshape_touches_no_memory(self, case: dict[str, Any]) -> None:
        inputs = self._inputs(case)
        rig = Rig(self.layer, case, inputs, run_setup=False, phase=self.phase, tops=self.tops)
        for blob in rig.bottoms:
            blob.data.release()
        rig.step.setup()
        held = [
            blob.name
            for blob in rig.bottoms + rig.tops + [v.blob for v in rig.layer.blobs]
            if blob.data.allocated or blob.diff.allocated
        ]
        assert not held or self.layer.dynamic, f"memory was touched: {held}"

    def test_propagate_down_false_leaves_the_bottom_diff(self, case: dict[str, Any]) -> None:
        if not self.gradient or self.layer.shares_data:
            return
        inputs = self._inputs(case)
        rig = self._rig(case, inputs)
        weights = self._weights(rig.forward())
        for blob in rig.bottoms:
            blob.diff.set(np.full(blob.shape, 77.0, np.float32))
        for dx in rig.backward(weights, [False] * len(inputs)):
            assert (dx == 77).all()

    def test_iteration_can_be_recorded_or_says_why_not(self, case: dict[str, Any]) -> None:
        check_recordable(self.layer, case, self._inputs(case), phase=self.phase, tops=self.tops, backward=self.gradient)

    def test_in_place_gives_the_same_result(self, case: dict[str, Any]) -> None:
        if not self.in_place:
            return
        inputs = self._inputs(case)
        apart, inside = self._rig(case, inputs), self._rig(case, inputs, in_place=True)
        want, got = apart.forward(), inside.forward(inputs)
        weights = self._weights(want)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-5, atol=1e-6)
        if self.gradient:
            np.testing.assert_allclose(inside.backward(weights)[0], apart.backward(weights)[0], rtol=1e-4, atol=1e-5)
            for mine, theirs in zip(inside.gradients(), apart.gradients()):
                np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
