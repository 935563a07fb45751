"""Runs a recorded case against the package and compares: every array within the case's tolerance.

Each kind of case is one function of (case, compare); `run_case` picks it by the key `kind`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

import layerforge as caffe
from layerforge.core.random import Random
from layerforge.pycaffe import modes

GOLDEN = Path(__file__).parent / "golden"


class Compare:
    """Compares arrays by the case's tolerance: |got - want| ≤ rtol |want| + atol max(|want|.max(), 0.01) + absatol."""

    def __init__(self, case):
        self.rtol = max(1e-4, float(case.get("rtol", 0)))
        self.atol = max(1e-5, float(case.get("atol", 0)))
        self.absatol = float(case.get("absatol", 0))
        self.meantol = float(case["meantol"]) if "meantol" in case else None
        self.count = 0

    def __call__(self, what, got, want):
        self.count += 1
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
        if not want.size:
            return
        assert np.array_equal(np.isfinite(got), np.isfinite(want)), f"{what}: finite values differ"
        finite = np.isfinite(want)
        assert np.array_equal(np.nan_to_num(got[~finite]), np.nan_to_num(want[~finite])), f"{what}: infinities differ"
        got, want = got[finite], want[finite]
        if not want.size:
            return
        error = np.abs(got - want)
        slack = self.rtol * np.abs(want) + self.atol * max(np.abs(want).max(), 0.01) + self.absatol - error
        worst = slack.argmin()
        assert slack[worst] >= 0, (
            f"{what}: {(slack < 0).sum()} of {want.size} values off, {got[worst]:.7g} where {want[worst]:.7g} is right"
        )
        if self.meantol is not None:
            assert error.mean() <= self.meantol, f"{what}: mean error {error.mean():.4g}"


def load(path):
    """A case as a dict of arrays."""
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def part(case, prefix):
    """The entries with this prefix, by the rest of their key."""
    return {key[len(prefix) :]: value for key, value in case.items() if key.startswith(prefix)}


def write(name, text):
    Path(name).write_text(text)
    return name


def run_case(path, folder, monkeypatch):
    """Runs one case in an empty folder; raises AssertionError with the first difference."""
    case = load(path)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(modes._Modes, "random", Random(1))  # cases of chance compare shares: the same draws every time
    monkeypatch.setattr(modes._Modes, "made", 0)
    if "needs_files" in case:
        shutil.copytree(GOLDEN / "files", folder, dirs_exist_ok=True)
    for name, data in part(case, "file.").items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data.tobytes())
    compare = Compare(case)
    KINDS[str(case.get("kind", "layer"))](case, compare)
    assert compare.count, "nothing was compared"


def make_net(case, text=None, **more):
    if "level" in case:
        more.update(level=int(case["level"]), stages=[str(s) for s in case["stages"]])
    phase = getattr(caffe, str(case.get("phase", "TRAIN")))
    return caffe.Net(write("net.prototxt", text or str(case["prototxt"])), phase, **more)


def parameter(net, key):
    layer, index = key.rsplit(".", 1)
    return net.params[layer][int(index)]


def set_params(net, case):
    for key, value in part(case, "param.").items():
        assert parameter(net, key).data.shape == value.shape, key
        parameter(net, key).data[...] = value


def layer_case(case, compare, text=None):
    net = make_net(case, text)
    changed = part(case, "reshape.")
    for blob, shape in changed.items():
        net.blobs[blob].reshape(*[int(n) for n in shape])
    if changed:
        net.reshape()
    for key, want in part(case, "initparam.").items():
        compare(f"initial {key}", parameter(net, key).data, want)
    have = sorted(f"{name}.{i}" for name, blobs in net.params.items() for i in range(len(blobs)))
    assert have == sorted(part(case, "param."))
    set_params(net, case)
    for _ in range(int(case.get("forwards", 1))):
        for blob, value in part(case, "in.").items():
            net.blobs[blob].data[...] = value
        net.forward()
    for blob, want in part(case, "out.").items():
        compare(f"blob {blob}", net.blobs[blob].data, want)
    for key, want in part(case, "paramafter.").items():
        compare(f"{key} after forward", parameter(net, key).data, want)
    backward_case(net, case, compare)
    for what in ("inputs", "outputs"):
        if f"meta.{what}" in case:
            assert getattr(net, what) == [str(name) for name in case[f"meta.{what}"]]
    if "meta.blobs" in case:
        assert [name for name in net.blobs if "_split_" not in name] == [
            str(n) for n in case["meta.blobs"] if "_split_" not in str(n)
        ]


def backward_case(net, case, compare):
    diffs, param_diffs = part(case, "diff."), part(case, "paramdiff.")
    if not diffs and not param_diffs:
        return
    for blob, value in part(case, "topdiff.").items():
        net.blobs[blob].diff[...] = value
    net.clear_param_diffs()
    net.backward()
    for blob, want in diffs.items():
        compare(f"diff {blob}", net.blobs[blob].diff, want)
    for key, want in param_diffs.items():
        compare(f"parameter diff {key}", parameter(net, key).diff, want)


def batches_case(case, compare):
    net = make_net(case)
    set_params(net, case)
    if "mem.data" in case:
        net.set_input_arrays(np.ascontiguousarray(case["mem.data"]), np.ascontiguousarray(case["mem.label"]))
    for k in range(int(case["batches"])):
        net.forward()
        for blob, want in part(case, f"batch{k}.").items():
            compare(f"batch {k} blob {blob}", net.blobs[blob].data, want)


def weights_case(case, compare):
    path = str(case["weights"])
    nets = [make_net(case, weights=path)]
    for again in ("again.caffemodel", "again.caffemodel.h5"):
        (nets[0].save_hdf5 if again.endswith("h5") else nets[0].save)(again)
        nets.append(make_net(case))
        nets[-1].copy_from(again)
    for net in nets:
        for key, want in part(case, "wparam.").items():
            compare(key, parameter(net, key).data, want)
        for blob, value in part(case, "in.").items():
            net.blobs[blob].data[...] = value
        net.forward()
        for blob, want in part(case, "out.").items():
            compare(f"blob {blob}", net.blobs[blob].data, want)


def make_solver(case):
    arrays = part(case, "data.")
    if arrays and str(case["feed"]) == "hdf5":
        import h5py

        with h5py.File("train.h5", "w") as file:
            for name, value in arrays.items():
                file[name] = value
        write("train.txt", "train.h5\n")
    write("net.prototxt", str(case["net"]))
    return caffe.get_solver(write("solver.prototxt", str(case["solver"])))


def follow(case, compare, solver, first, last):
    feed = part(case, "data.") if str(case["feed"]) == "input" else {}
    for k in range(first, last):
        for blob, value in feed.items():
            solver.net.blobs[blob].data[...] = value[k]
        if "lr" in case:
            compare(f"learning rate at {k}", float(solver.lr), case["lr"][k])
        solver.step(1)
        for blob in case["losses"]:
            compare(f"{blob} at {k}", solver.net.blobs[str(blob)].data, case[f"loss.{blob}"][k])
        for key, want in part(case, "traj.").items():
            compare(f"{key} after step {k + 1}", parameter(solver.net, key).data, want[k])


def solver_case(case, compare):
    solver = make_solver(case)
    set_params(solver.net, case)
    follow(case, compare, solver, 0, int(case["steps"]))
    assert solver.iter == int(case["steps"])
    wanted = part(case, "testout.")
    if wanted:
        test = solver.test_nets[0]
        test.share_with(solver.net)
        for blob, value in part(case, "testin.").items():
            test.blobs[blob].data[...] = value
        test.forward()
        for blob, want in wanted.items():
            compare(f"test net blob {blob}", test.blobs[blob].data, want)


def resume_case(case, compare):
    mid, last = int(case["mid"]), int(case["steps"])
    solver = make_solver(case)
    solver.restore(str(case["state"]))
    assert solver.iter == mid
    follow(case, compare, solver, mid, last)
    written = list(part(case, "file."))
    for name in written:
        os.remove(name)
    solver = make_solver(case)
    set_params(solver.net, case)
    follow(case, compare, solver, 0, mid)
    solver.snapshot()
    assert all(os.path.exists(name) for name in written)
    solver = make_solver(case)
    solver.restore(str(case["state"]))
    follow(case, compare, solver, mid, last)


def python_case(case, compare):
    name = f"golden_layers_{abs(hash(str(case['source']))) % 10**8}"
    write(f"{name}.py", str(case["source"]).replace("@MODULE@", "layerforge"))
    layer_case(case, compare, str(case["prototxt"]).replace("@PY@", name))


def hdf5out_case(case, compare):
    import gc

    import h5py

    net = make_net(case)
    for blob, value in part(case, "in.").items():
        net.blobs[blob].data[...] = value
    net.forward()
    del net
    gc.collect()
    with h5py.File(str(case["h5file"])) as file:
        for name, want in part(case, "h5.").items():
            compare(f"dataset {name}", file[name][...], want)


def fillers_case(case, compare):
    net = make_net(case)
    for key, want in part(case, "fill.").items():
        mean, std, low, high, zeros, bounded = (float(x) for x in want)
        w = np.asarray(parameter(net, key).data, np.float64)
        compare.count += 1
        assert abs(w.mean() - mean) <= 0.03 * std and abs(w.std() - std) <= 0.03 * std, key
        assert not bounded or (
            abs(w.min() - low) <= 0.03 * (high - low) and abs(w.max() - high) <= 0.03 * (high - low)
        ), key
        assert abs((w == 0).mean() - zeros) <= 0.01, key
    for key in case["unitball"]:
        w = parameter(net, str(key)).data
        compare(f"row sums of {key}", w.reshape(len(w), -1).sum(1), np.ones(len(w)))


def dropout_case(case, compare):
    net = make_net(case)
    ratio, x, top, masks = float(case["ratio"]), case["in.data"], str(case["top"]), []
    for _ in range(2):
        net.blobs["data"].data[...] = x
        net.forward()
        y = np.array(net.blobs[top].data)
        masks.append(y != 0)
        compare("kept values", y[masks[-1]], (x / (1 - ratio))[masks[-1]])
        assert abs(masks[-1].mean() - (1 - ratio)) <= 0.02
    assert not np.array_equal(*masks)
    net.blobs[top].diff[...] = case["topdiff"]
    net.backward()
    compare("diff", net.blobs["data"].diff, case["topdiff"] * masks[-1] / (1 - ratio))


def find_view(item, label, case, candidates):
    """Which picture, crop position and mirroring gave this item, or None."""
    raw, crop = np.asarray(case["raw"], np.float32), int(case["crop"])
    for r in candidates:
        if int(label) != int(case["label"][r]):
            continue
        if crop:
            windows = np.lib.stride_tricks.sliding_window_view(raw[r], (crop, crop), axis=(1, 2))  # (K, Y, X, h, w)
        else:
            windows = raw[r][:, None, None]
        for mirrored in (False, True) if case["mirror"] else (False,):
            seen = item[:, :, ::-1] if mirrored else item
            hits = np.argwhere(np.abs(windows - seen[:, None, None]).max(axis=(0, 3, 4)) < 0.01)
            if len(hits):
                return r, tuple(hits[0]), mirrored
    return None


def augment_case(case, compare):
    net = make_net(case)
    size, shuffled, views = len(case["raw"]), bool(case["shuffle"]), []
    for _ in range(int(case["batches"])):
        net.forward()
        items = np.array(net.blobs["data"].data) / float(case["scale"]) + float(case["mean"])
        for item, label in zip(items, np.array(net.blobs["label"].data).reshape(-1)):
            views.append(find_view(item, label, case, range(size) if shuffled else [len(views) % size]))
            compare.count += 1
            assert views[-1] is not None, f"item {len(views) - 1} is no view of the expected picture"
    if case["crop"]:
        assert min(len({view[1][axis] for view in views}) for axis in (0, 1)) >= 4, "crop positions hardly vary"
    if case["mirror"]:
        assert 0.3 < np.mean([view[2] for view in views]) < 0.7
    if shuffled:
        epochs = [[view[0] for view in views[at : at + size]] for at in range(0, len(views) - size + 1, size)]
        assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
        assert any(epoch != epochs[0] for epoch in epochs)


def io_case(case, compare):
    transformer = caffe.io.Transformer({"data": tuple(int(n) for n in case["shape"])})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", case["mean"])
    transformer.set_input_scale("data", float(case["input_scale"]))
    compare("preprocess", transformer.preprocess("data", case["img"]), case["preprocess"])
    compare("deprocess", transformer.deprocess("data", case["preprocess"]), case["deprocess"])
    if "oversample" in case:
        compare(
            "oversample", caffe.io.oversample([case["img"]], tuple(int(n) for n in case["crop"])), case["oversample"]
        )


KINDS = {
    "layer": layer_case,
    "batches": batches_case,
    "weights": weights_case,
    "solver": solver_case,
    "resume": resume_case,
    "python": python_case,
    "hdf5out": hdf5out_case,
    "fillers": fillers_case,
    "dropout": dropout_case,
    "augment": augment_case,
    "io": io_case,
}
