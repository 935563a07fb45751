"""A small regression to train from the command line."""

import pytest

NET = """
name: "line"
layer {{ name: "data" type: "DummyData" top: "x" top: "t"
        dummy_data_param {{ shape {{ dim: 8 dim: 3 }} shape {{ dim: 8 dim: 1 }}
                           data_filler {{ type: "gaussian" }} data_filler {{ type: "constant" value: 1 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "y"
        inner_product_param {{ num_output: 1 weight_filler {{ type: "gaussian" std: {std} }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }}
"""
SOLVER = """
net: "net.prototxt"
test_iter: 2
test_interval: 5
base_lr: {lr}
lr_policy: "fixed"
max_iter: 10
display: 5
snapshot: 5
snapshot_prefix: "line"
random_seed: 3
"""


@pytest.fixture
def line(tmp_path, monkeypatch):
    """Writes net.prototxt and solver.prototxt into the working folder; gives that folder."""
    monkeypatch.chdir(tmp_path)

    def write(*, lr=0.1, std=0.1, more=""):
        (tmp_path / "net.prototxt").write_text(NET.format(std=std))
        (tmp_path / "solver.prototxt").write_text(SOLVER.format(lr=lr) + more)
        return tmp_path

    write()
    return write
