"""time measures layers and whole passes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from layerforge.cli import timing
from layerforge.cli.main import main
from layerforge.cli.timing import LayerTime, Timing, batch_size, measure, measure_sources
from layerforge.core.storage import HOST
from layerforge.engines.lowering import Refusal
from layerforge.graph import lower
from layerforge.graph.lower import Choice
from layerforge.net.build import build_net
from layerforge.netdef.types import Phase
from layerforge.schema.read import parse_net

NET = """
name: "tiny"
layer { name: "data" type: "DummyData" top: "data" top: "target"
        dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { type: "gaussian" } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    return "net.prototxt"


def test_prints_a_row_per_layer_with_totals(model, capsys):
    assert main(["time", "-model", model, "-iterations", "2"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line and not line.startswith("-")}
    assert list(rows)[:6] == ["tiny:", "layer", "data", "ip", "loss", "all"]
    assert rows["ip"][0] == "InnerProduct" and rows["ip"][4].endswith("%")
    assert "forward + backward" in out


def test_shares_add_up_to_the_whole(model, tmp_path):
    assert main(["time", "-model", model, "-iterations", "2", "--json", "times.json"]) == 0
    figures = json.loads((tmp_path / "times.json").read_text())
    assert figures["iterations"] == 2 and figures["batch"] == 4
    assert [layer["name"] for layer in figures["layers"]] == ["data", "ip", "loss"]
    assert sum(layer["forward_ms"] for layer in figures["layers"]) == pytest.approx(figures["forward_ms"])
    spread = figures["forward_backward_ms"]
    assert 0 < spread["min"] <= spread["median"] <= spread["max"]


def test_not_on_a_terminal_the_lines_are_those_of_caffe(model, capsys):
    main(["time", "-model", model, "-iterations", "2"])
    texts = [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert texts[0] == "Use CPU."
    assert texts[4:6] == ["*** Benchmark begins ***", "Testing for 2 iterations."]
    assert [text.split(" f")[0] for text in texts if text.startswith("Iteration")] == ["Iteration: 1", "Iteration: 2"]
    assert any(text.startswith("        ip\tforward: ") and text.endswith(" ms.") for text in texts)
    assert texts[-1] == "*** Benchmark ends ***"


def test_the_time_of_a_layer_is_its_own(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    net = build_net(parse_net(NET, "net.prototxt"), Phase.TRAIN, engines=())
    for layer, forward, backward in zip(net.layers, (1, 10, 100), (0, 1000, 10000)):
        for verb, seconds in (("forward", forward), ("backward", backward)):
            monkeypatch.setattr(layer, verb, lambda *blobs, s=seconds: now.__setitem__(0, now[0] + s))
    measured = measure(net, 2)
    assert [layer.forward_ms for layer in measured.layers] == [1e3, 1e4, 1e5]
    assert [layer.backward_ms for layer in measured.layers] == [0, 1e6, 1e7]
    assert measured.iteration_ms == [11111e3, 11111e3]


def test_measuring_leaves_no_hooks_behind():
    net = build_net(parse_net(NET, "net.prototxt"), Phase.TRAIN)
    measure(net, 1)
    assert not any(net.hooks.values())


def test_the_batch_is_the_first_axis_of_the_first_source():
    assert batch_size(build_net(parse_net(NET, "net.prototxt"), Phase.TRAIN)) == 4


def test_figures_of_training_iterations_are_there_when_a_solver_was_timed():
    measured = Timing("n", 1, [LayerTime("a", "A", 1.0, 2.0)], [3.5], training_ms=[4.0, 5.0], update_ms=0.5)
    figures = measured.figures()
    assert figures["training_iteration_ms"]["mean"] == 4.5 and figures["update_ms"] == 0.5
    assert timing.spread([1.0, 2.0, 6.0]) == {"mean": 3.0, "median": 2.0, "min": 1.0, "max": 6.0}


def test_a_solver_adds_whole_training_iterations(line, capsys):
    folder = line(more="iter_size: 2\n")
    assert main(["time", "-solver", "solver.prototxt", "-iterations", "3", "--json", "times.json"]) == 0
    out = capsys.readouterr().out
    assert "training iteration" in out and "of it update" in out
    figures = json.loads((folder / "times.json").read_text())
    assert 0 < figures["update_ms"] < figures["training_iteration_ms"]["mean"] and figures["iter_size"] == 2
    assert not list(folder.glob("*.caffemodel")), "timing saves nothing"


def test_explain_names_the_engine_of_each_layer_and_the_reasons_of_others(model, capsys, monkeypatch):
    monkeypatch.setattr(lower, "_choose", lambda steps, i, engines: Choice(steps[i], (Refusal("FAST", f"no {i}"),)))
    assert main(["time", "-model", model, "-iterations", "1", "--explain"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    (ip,) = (row for row in rows if row[:2] == ["ip", "layer"])
    assert ip[-3:] == ["FAST:", "no", "1"]
    assert all(float(ms) > 0 for ms in ip[2:4])


def test_a_missing_file_is_a_message(tmp_path, capsys):
    assert main(["time", "-model", str(tmp_path / "none.prototxt")]) == 1
    assert "none.prototxt" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["time"], ["time", "-model", "a", "-solver", "b"]])
def test_either_a_model_or_a_solver_is_needed(argv, capsys):
    assert main(argv) == 2
    assert "--model" in capsys.readouterr().err


def test_a_typo_in_the_net_names_place_and_cure(model, tmp_path, capsys):
    (tmp_path / model).write_text(NET.replace("InnerProduct", "InerProduct"))
    assert main(["time", "-model", model]) == 1
    err = capsys.readouterr().err
    assert "net.prototxt:5: layer 'ip' (InerProduct)" in err and "did you mean 'InnerProduct'?" in err


DATA = """
name: "reader"
layer {{ name: "pictures" type: "Data" top: "x" top: "t"
  data_param {{ source: "{source}" batch_size: 3 backend: LMDB }} }}
layer {{ name: "quiet" type: "Silence" bottom: "x" bottom: "t" }}
"""


def test_data_layers_are_timed_alone_and_their_waits_counted(make_lmdb, pictures, tmp_path, capsys):
    (tmp_path / "net.prototxt").write_text(DATA.format(source=make_lmdb(pictures(7))))
    argv = ["time", "--data", "--model", str(tmp_path / "net.prototxt"), "--iterations", "4",
            "--json", str(tmp_path / "times.json")]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "pictures" in out and "images/s alone" in out and "the net " in out
    (source,) = json.loads((tmp_path / "times.json").read_text())["sources"]
    assert source["name"] == "pictures" and source["batch"] == 3 and source["alone_ms"] > 0
    assert 0 <= source["waits"] <= 4 and source["waited_ms"] >= 0


def test_timing_the_data_does_not_move_it(make_lmdb, pictures):
    net = build_net(parse_net(DATA.format(source=make_lmdb(pictures(20)))), Phase.TRAIN)
    measure_sources(net, 2, lambda: measure(net, 2))
    net.forward()
    assert net.blobs["t"].data.array(HOST).tolist() == [9, 10, 11]  # one pass to warm up, two measured, this one
    net.close()


def test_memory_prints_what_an_iteration_holds(model, capsys, tmp_path):
    assert main(["time", "-model", model, "-iterations", "1", "--memory", "--json", "times.json"]) == 0
    out = capsys.readouterr().out
    rows = {line.rsplit(None, 1)[0].strip() for line in out.splitlines() if len(line.split()) > 1}
    for label in ("activations", "gradients", "parameters", "parameters' gradients", "history", "scratch",
                  "saved by packing", "peak"):
        assert label in rows
    figures = json.loads((tmp_path / "times.json").read_text())["memory_bytes"]
    assert figures["peak"] == sum(size for label, size in figures.items() if label != "peak")
    assert figures["parameters"] >= 8 * 4 and figures["activations"] >= (4 * 3 + 4 * 2 * 2) * 4


def test_a_profile_holds_every_step_of_every_pass_in_order(model, capsys):
    assert main(["time", "--model", model, "--iterations", "2", "--profile", "trace.json"]) == 0
    with open("trace.json", encoding="utf-8") as file:
        events = [event for event in json.load(file)["traceEvents"] if event["ph"] == "X"]
    forward = [event["name"] for event in events if event["cat"] == "forward"]
    assert forward[: len(forward) // 2] == forward[len(forward) // 2 :]
    assert {event["cat"] for event in events} == {"forward", "backward"}
    ends = [event["ts"] + event["dur"] for event in events]
    assert all(event["dur"] >= 0 for event in events)
    assert all(later["ts"] >= end for end, later in zip(ends, events[1:]))
    assert "trace.json" in capsys.readouterr().out
