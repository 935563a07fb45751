"""An example of each layer for its reference page. Tests build them all."""

from __future__ import annotations

from dataclasses import dataclass

from layerforge.layers.base import Layer
from layerforge.netdef.params import Params, Spec

Shape = tuple[int, ...]
PICTURE = (2, 3, 8, 8)


@dataclass(frozen=True)
class Example:
    """inside   what stands in the layer besides name, type, bottoms and tops
    bottoms  names and shapes
    tops     names; None: one, named after the type (none for layers without tops)
    files    whether it can be built only where its files are
    """

    inside: str = ""
    bottoms: tuple[tuple[str, Shape], ...] = ()
    tops: tuple[str, ...] | None = None
    files: bool = False


def example_of(layer: type[Layer]) -> Example:
    """The example of a layer class; one is made up from its required parameters where none is written here."""
    if layer.type in EXAMPLES:
        return EXAMPLES[layer.type]
    least = layer.bottoms if isinstance(layer.bottoms, int) else layer.bottoms[0]
    names = ("data",) if least == 1 else tuple(f"data{i + 1}" for i in range(least))
    required = {name: spec for name, spec in layer.Params.specs().items() if spec.required}
    values = " ".join(_assignment(name, spec) for name, spec in required.items())
    inside = f"{layer.Params.message} {{ {values} }}" if required else ""
    return Example(inside, tuple((name, PICTURE) for name in names))


def prototxt(layer: type[Layer]) -> str:
    """The example as a prototxt of one layer."""
    example = example_of(layer)
    lines = ["layer {", f'  name: "{_name(layer)}"', f'  type: "{layer.type}"']
    lines += [f'  bottom: "{name}"' for name, _ in example.bottoms]
    lines += [f'  top: "{name}"' for name in _tops(layer, example)]
    lines += [f"  {line}" for line in example.inside.splitlines()]
    return "\n".join([*lines, "}"])


def net(layer: type[Layer]) -> str:
    """The example with an Input layer for each bottom: a whole net."""
    inputs = []
    for name, shape in example_of(layer).bottoms:
        dims = " ".join(f"dim: {n}" for n in shape)
        inputs.append(f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}')
    return "\n".join([*inputs, prototxt(layer)])


def _name(layer: type[Layer]) -> str:
    return layer.type.lower() + "1"


def _tops(layer: type[Layer], example: Example) -> tuple[str, ...]:
    if example.tops is not None:
        return example.tops
    return () if layer.tops == 0 else (_name(layer),)


def _assignment(name: str, spec: Spec) -> str:
    if issubclass(spec.kind, Params):
        inner = " ".join(_assignment(n, s) for n, s in spec.kind.specs().items() if s.required)
        return f"{name} {{ {inner} }}"
    if spec.choices:
        return f"{name}: {spec.choices[0]}"
    if spec.kind is str:
        return f'{name}: "{name}"'
    if spec.kind is bool:
        return f"{name}: true"
    low = spec.at_least if spec.at_least is not None else spec.above + 1 if spec.above is not None else 1
    return f"{name}: {spec.kind(low)}"


def _one(inside: str = "", shape: Shape = PICTURE) -> Example:
    return Example(inside, (("data", shape),))


def _scores(inside: str = "", scores: Shape = (8, 10), labels: Shape = (8,)) -> Example:
    return Example(inside, (("score", scores), ("label", labels)))


def _conv(outputs: int, size: int, more: str = "") -> str:
    values = f"num_output: {outputs} kernel_size: {size}{more}"
    return f'convolution_param {{\n  {values}\n  weight_filler {{ type: "xavier" }}\n}}'


EXAMPLES: dict[str, Example] = {
    # data
    "Data": Example('data_param { source: "train_lmdb" backend: LMDB batch_size: 64 }\n'
                    "transform_param { scale: 0.00390625 mirror: true }", tops=("data", "label"), files=True),
    "ImageData": Example('image_data_param { source: "train.txt" batch_size: 32 new_height: 256 new_width: 256 }\n'
                         "transform_param { crop_size: 227 mirror: true }", tops=("data", "label"), files=True),
    "HDF5Data": Example('hdf5_data_param { source: "train.txt" batch_size: 64 }', tops=("data", "label"), files=True),
    "HDF5Output": Example('hdf5_output_param { file_name: "features.h5" }', (("data", PICTURE), ("label", (2,))),
                          files=True),
    "WindowData": Example('window_data_param { source: "windows.txt" batch_size: 32 context_pad: 16 }\n'
                          "transform_param { crop_size: 227 mirror: true }", tops=("data", "label"), files=True),
    "MemoryData": Example("memory_data_param { batch_size: 16 channels: 3 height: 32 width: 32 }",
                          tops=("data", "label")),
    "DummyData": Example('dummy_data_param { shape { dim: 16 dim: 10 } data_filler { type: "gaussian" std: 0.1 } }'),
    "Input": Example("input_param { shape { dim: 1 dim: 3 dim: 224 dim: 224 } }", tops=("data",)),
    "Parameter": Example("parameter_param { shape { dim: 10 dim: 5 } }"),
    "Python": Example('python_param { module: "my_layers" layer: "MyLayer" param_str: "{margin: 2}" }',
                      (("data", PICTURE),), files=True),
    # spatial
    "Convolution": _one(_conv(20, 5, " stride: 1 pad: 2")),
    "DepthwiseConvolution": _one(_conv(3, 3, " pad: 1")),
    "ConvolutionDepthwise": _one(_conv(3, 3, " pad: 1")),
    "Deconvolution": _one('convolution_param {\n  num_output: 3 kernel_size: 4 stride: 2 pad: 1 group: 3\n'
                          '  weight_filler { type: "bilinear" }\n}'),
    "Im2col": _one("convolution_param { kernel_size: 3 pad: 1 }"),
    "Pooling": _one("pooling_param { pool: MAX kernel_size: 3 stride: 2 }"),
    "SPP": _one("spp_param { pyramid_height: 3 pool: MAX }"),
    "LRN": _one("lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"),
    "Crop": Example("crop_param { axis: 2 offset: 2 }", (("data", PICTURE), ("like", (2, 3, 4, 4)))),
    "Interp": _one("interp_param { zoom_factor: 2 }"),
    "ROIPooling": Example("roi_pooling_param { pooled_h: 7 pooled_w: 7 spatial_scale: 0.0625 }",
                          (("data", (1, 3, 14, 14)), ("rois", (5, 5)))),
    "ROIAlign": Example("roi_align_param { pooled_h: 7 pooled_w: 7 spatial_scale: 0.0625 }",
                        (("data", (1, 3, 14, 14)), ("rois", (5, 5)))),
    "CropAndResize": Example("crop_and_resize_param { crop_h: 14 crop_w: 14 }",
                             (("data", (2, 8, 8, 3)), ("pictures", (5,)), ("boxes", (5, 4)))),
    "Accum": Example("accum_param { have_reference: true }", (("coarse", (2, 3, 4, 4)), ("fine", PICTURE))),
    "Proposal": Example("proposal_param { max_rois: 300 }",
                        (("scores", (1, 18, 14, 14)), ("codes", (1, 36, 14, 14)), ("picture", (1, 3)))),
    "NonMaxSuppression": Example(
        "non_max_suppression_param { max_output_boxes_per_class: 10 iou_threshold: 0.5 score_threshold: 0.1 }",
        (("boxes", (1, 20, 4)), ("scores", (1, 3, 20)))),
    "PSROIPooling": Example("psroi_pooling_param { spatial_scale: 0.0625 output_dim: 2 group_size: 3 }",
                            (("data", (1, 18, 14, 14)), ("rois", (5, 5)))),
    "Upsample": Example("upsample_param { scale: 2 }", (("data", (2, 3, 4, 4)), ("mask", (2, 3, 4, 4)))),
    "PriorBox": Example("prior_box_param {\n  min_size: 30 max_size: 60 aspect_ratio: 2 flip: true clip: false\n"
                        "  variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2\n}",
                        (("conv", (1, 8, 10, 10)), ("data", (1, 3, 300, 300)))),
    "Reorg": _one("reorg_param { stride: 2 }", (1, 64, 26, 26)),
    "DetectionEvaluate": Example("detection_evaluate_param { num_classes: 21 overlap_threshold: 0.5 }",
                                 (("found", (1, 1, 8, 7)), ("truth", (1, 1, 5, 8)))),
    "MultiBoxLoss": Example("multibox_loss_param {\n  num_classes: 21 code_type: CENTER_SIZE overlap_threshold: 0.5\n"
                            "  neg_pos_ratio: 3 neg_overlap: 0.5 mining_type: MAX_NEGATIVE\n}",
                            (("loc", (2, 400)), ("conf", (2, 2100)), ("priors", (1, 2, 400)), ("truth", (1, 1, 5, 8)))),
    "DetectionOutput": Example("detection_output_param {\n  num_classes: 21 code_type: CENTER_SIZE keep_top_k: 200\n"
                               "  confidence_threshold: 0.01 nms_param { nms_threshold: 0.45 top_k: 400 }\n}",
                               (("loc", (1, 400)), ("conf", (1, 2100)), ("priors", (1, 2, 400)))),
    "Resample": _one("resample_param { height: 16 width: 16 type: LINEAR }"),
    "ResizeBilinear": _one('resize_bilinear_param { output_height: 16 output_width: 16 data_format: "NCHW" }'),
    "ResizeNearestNeighbor": _one("resize_nearest_neighbor_param { scale_height: 2 scale_width: 2 }", (2, 8, 8, 3)),
    "Correlation": Example("correlation_param { pad: 4 kernel_size: 1 max_displacement: 4 stride_2: 2 }",
                           (("data1", PICTURE), ("data2", PICTURE))),
    "FlowWarp": Example("", (("data", PICTURE), ("flow", (2, 2, 8, 8)))),
    # linear, recurrent
    "InnerProduct": _one('inner_product_param {\n  num_output: 10\n  weight_filler { type: "xavier" }\n}'),
    "Embed": _one("embed_param { input_dim: 1000 num_output: 16 }", (8, 4)),
    "LSTM": Example('recurrent_param { num_output: 16 weight_filler { type: "uniform" min: -0.1 max: 0.1 } }',
                    (("data", (6, 2, 8)), ("cont", (6, 2)))),
    "RNN": Example('recurrent_param { num_output: 16 weight_filler { type: "uniform" min: -0.1 max: 0.1 } }',
                   (("data", (6, 2, 8)), ("cont", (6, 2)))),
    "GRU": Example('recurrent_param { num_output: 16 weight_filler { type: "uniform" min: -0.1 max: 0.1 } }',
                   (("data", (6, 2, 8)), ("cont", (6, 2)))),
    "LSTMUnit": Example("", (("cell", (1, 2, 8)), ("gates", (1, 2, 32)), ("cont", (1, 2))), ("cell_next", "hidden")),
    # activations and normalisation
    "Clip": _one("clip_param { min: 0 max: 6 }"),
    "Dropout": _one("dropout_param { dropout_ratio: 0.5 }"),
    "Power": _one("power_param { power: 2 scale: 0.5 shift: 1 }"),
    "Threshold": _one("threshold_param { threshold: 0.5 }"),
    "Scale": _one("scale_param { bias_term: true }"),
    "Normalize": _one('norm_param {\n  across_spatial: false channel_shared: false\n'
                      '  scale_filler { type: "constant" value: 20 }\n}'),
    "LpNormalization": _one("lp_normalization_param { axis: 1 p: 2 }"),
    "SpatialProduct": Example("", (("data", PICTURE), ("mask", (2, 1, 8, 8)))),
    "BN": _one("bn_param { frozen: true }"),
    "Axpy": Example("", (("scale", (2, 3, 1, 1)), ("data", PICTURE), ("shortcut", PICTURE))),
    # shapes
    "Concat": Example("concat_param { axis: 1 }", (("data1", PICTURE), ("data2", (2, 5, 8, 8)))),
    "Slice": Example("slice_param { axis: 1 slice_point: 1 }", (("data", PICTURE),), ("first", "rest")),
    "Split": Example("", (("data", PICTURE),), ("copy1", "copy2")),
    "Reshape": _one("reshape_param { shape { dim: 0 dim: -1 } }"),
    "Tile": _one("tile_param { axis: 1 tiles: 2 }"),
    "Eltwise": Example("eltwise_param { operation: SUM coeff: 1 coeff: -1 }", (("data1", PICTURE), ("data2", PICTURE))),
    "Reduction": _one("reduction_param { operation: MEAN axis: 1 }"),
    "ArgMax": _one("argmax_param { axis: 1 top_k: 1 }", (8, 10)),
    "BatchReindex": Example("", (("data", PICTURE), ("index", (5,)))),
    "Filter": Example("", (("data", PICTURE), ("selector", (2,)))),
    "Permute": _one("permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    "ShuffleChannel": _one("shuffle_channel_param { group: 2 }", (2, 6, 8, 8)),
    "Reverse": _one("reverse_param { axis: 0 }"),
    "BroadcastTo": _one("broadcast_to_param { shape: 2 shape: 3 shape: 8 }", (3, 1)),
    "TileND": _one("tile_nd_param { multiples: 2 multiples: 1 }", (2, 3)),
    "SpaceToBatchND": _one("space_to_batch_nd_param { block_shape: 2 block_shape: 2 paddings: 0 paddings: 0"
                           " paddings: 0 paddings: 0 }", (2, 8, 8, 3)),
    "BatchToSpaceND": _one("batch_to_space_nd_param { block_shape: 2 block_shape: 2 crops: 0 crops: 0"
                           " crops: 0 crops: 0 }", (4, 4, 4, 3)),
    "ReverseSequence": Example("reverse_sequence_param { seq_axis: 1 batch_axis: 0 }",
                               (("data", (2, 5, 3)), ("lengths", (2,)))),
    "Gather": _one("gather_param { axis: 0 indices: 1 indices: 0 shape: 2 }", (2, 3)),
    "Gemm": Example("gemm_param { alpha: 1 beta: 1 }", (("a", (2, 3)), ("b", (3, 4)), ("c", (2, 4)))),
    "Pad": _one("pad_param { paddings: 0 paddings: 0 paddings: 1 paddings: 1 }", (2, 3)),
    "MirrorPad": _one("mirror_pad_param { paddings: 0 paddings: 0 paddings: 1 paddings: 1 }", (2, 3)),
    "Piece": _one("piece_param { begin: 0 begin: 1 size: 2 size: 2 }", (2, 3)),
    "Unstack": Example("unstack_param { axis: 0 }", (("data", (2, 3)),), ("first", "second")),
    # losses and metrics
    "SoftmaxWithLoss": _scores("loss_param { ignore_label: 255 normalization: VALID }"),
    "MultinomialLogisticLoss": _scores(),
    "HingeLoss": _scores("hinge_loss_param { norm: L2 }"),
    "InfogainLoss": Example("", (("score", (8, 10)), ("label", (8,)), ("infogain", (1, 1, 10, 10)))),
    "SigmoidCrossEntropyLoss": _scores(labels=(8, 10)),
    "EuclideanLoss": Example("", (("prediction", (8, 10)), ("target", (8, 10)))),
    "SmoothL1Loss": Example("", (("prediction", (8, 4)), ("target", (8, 4)))),
    "ContrastiveLoss": Example("contrastive_loss_param { margin: 1 }",
                               (("feature1", (8, 2)), ("feature2", (8, 2)), ("similar", (8,)))),
    "Accuracy": _scores("accuracy_param { top_k: 5 }"),
    "SegAccuracy": _scores("", (2, 5, 8, 8), (2, 1, 8, 8)),
}
