"""Every name that scripts take from pycaffe is there."""

from __future__ import annotations

import inspect

import pytest

import layerforge as caffe

PACKAGE = """
    Net SGDSolver NesterovSolver AdaGradSolver RMSPropSolver AdaDeltaSolver AdamSolver Layer Timer NCCL get_solver
    layer_type_list init_log log set_mode_cpu set_mode_gpu set_device set_random_seed solver_count set_solver_count
    solver_rank set_solver_rank set_multiprocess has_nccl TRAIN TEST Classifier Detector io layers params NetSpec
    to_proto draw coord_map proto net_spec classifier detector
""".split()
NET = """
    name blobs params inputs outputs layers layer_dict blob_loss_weights top_names bottom_names forward backward
    forward_all forward_backward_all reshape copy_from share_with save save_hdf5 load_hdf5 clear_param_diffs
    set_input_arrays before_forward after_forward before_backward after_backward
""".split()
SOLVER = "net test_nets iter lr param step solve restore snapshot share_weights apply_update add_callback".split()
BLOB = "data diff shape reshape num channels height width count".split()
IO = """
    Transformer load_image resize_image oversample blobproto_to_array array_to_blobproto
    arraylist_to_blobprotovector_str blobprotovector_str_to_arraylist array_to_datum datum_to_array caffe_pb2
""".split()
TRANSFORMER = "set_transpose set_channel_swap set_raw_scale set_mean set_input_scale preprocess deprocess".split()
ARGUMENTS = {
    "Net.forward": "blobs start end inputs", "Net.backward": "diffs start end top_diffs",
    "Net.forward_all": "blobs inputs",
    "Net.forward_backward_all": "blobs diffs values", "Net.copy_from": "path", "Net.share_with": "other",
    "Classifier": "model_file pretrained_file image_dims mean input_scale raw_scale channel_swap",
    "Classifier.predict": "inputs oversample",
    "Detector": "model_file pretrained_file mean input_scale raw_scale channel_swap context_pad",
    "Detector.detect_windows": "images_windows", "io.load_image": "filename color",
    "io.resize_image": "im new_dims interp_order", "io.oversample": "images crop_dims",
    "io.blobproto_to_array": "blob return_diff", "io.array_to_datum": "arr label",
    "io.Transformer.preprocess": "in_ data", "io.Transformer.set_mean": "in_ mean",
    "draw.draw_net": "caffe_net rankdir ext phase display_lrm",
    "draw.draw_net_to_file": "caffe_net filename rankdir phase display_lrm",
}


@pytest.mark.parametrize("name", PACKAGE)
def test_the_package_has(name):
    assert hasattr(caffe, name) and name in dir(caffe)


@pytest.mark.parametrize("name", IO)
def test_io_has(name):
    assert hasattr(caffe.io, name)


def test_objects_have_their_parts(small, make_solver):
    solver = make_solver()
    transformer = caffe.io.Transformer({"data": (1, 3, 4, 4)})
    for thing, names in ((small, NET), (solver, SOLVER), (small.blobs["data"], BLOB), (transformer, TRANSFORMER)):
        assert [name for name in names if not hasattr(thing, name)] == []


@pytest.mark.parametrize("path", ARGUMENTS)
def test_arguments_have_caffes_names_and_order(path):
    thing = caffe
    for part in path.split("."):
        thing = getattr(thing, part)
    assert [name for name in inspect.signature(thing).parameters if name != "self"] == ARGUMENTS[path].split()
