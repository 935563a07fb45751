"""The words the zoo's nets are written in: NetSpec, with names and fillers said once.

    n = Sketch("TinyNet", training=True)
    x = n.relu("relu1", n.conv("conv1", n.pictures("tiny", (3, 32, 32), batch=64), 16, 3, pad=1))
    n.classify(n.inner("ip1", x, 10))
    print(n.text())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from layerforge.pycaffe.net_spec import NetSpec, layers
from layerforge.schema.read import net_from_message
from layerforge.schema.write import net_text

Top = Any
WIDTH = 100  # messages that fit into so many columns stand on one line
BGR_MEAN = (104, 117, 123)  # of ImageNet's training pictures


class Sketch:
    """A net under construction. Each method adds a layer of the given name and returns its top, named as the layer.

    training     whether this is the net with data and loss, or the one to apply
    filler       how weights start
    offset       what biases start at
    multipliers  (lr_mult, decay_mult) of weights and of biases; None leaves one out
    label        the labels' top; only in training
    """

    def __init__(
        self, name: str, training: bool, *, filler: Mapping[str, Any] | str | None = "xavier", offset: float = 0,
        multipliers: Sequence[tuple[float | None, float | None]] = ((1, 1), (2, 0)),
    ) -> None:
        self.name, self.training, self.offset, self.multipliers = name, training, offset, multipliers
        self.filler = {"type": filler} if isinstance(filler, str) else filler
        self.spec = NetSpec()
        self.label: Top = None

    # --- any layer

    def layer(self, type_name: str, name: str, *bottoms: Top, **params: Any) -> Top:
        """A layer of any type."""
        return self._add(name, getattr(layers, type_name)(*bottoms, **params))

    def _add(self, name: str, made: Any) -> Any:
        self.spec[name] = made
        return made

    def tops(self, type_name: str, name: str, names: Sequence[str], *bottoms: Top, **params: Any) -> tuple[Top, ...]:
        """A layer with several tops of these names."""
        made = getattr(layers, type_name)(*bottoms, ntop=len(names), name=name, **params)
        for key, top in zip(names, made if len(names) > 1 else (made,)):
            self.spec[key] = top
        return made if len(names) > 1 else (made,)

    def again(self, type_name: str, name: str, names: Sequence[str], *bottoms: Top, **params: Any) -> None:
        """Another layer of the same name and tops, for another phase or stage: rules choose which one a net has."""
        self.spec[f"{name} {len(self.spec.tops)}"] = getattr(layers, type_name)(
            *bottoms, ntop=0, name=name, top=list(names), **params)

    # --- where data comes from

    def input(self, shape: Sequence[int], name: str = "data") -> Top:
        """What the caller puts in."""
        return self.layer("Input", name, shape={"dim": list(shape)})

    def source(self, type_name: str, names: Sequence[str], train: Mapping[str, Any], test: Mapping[str, Any],
               name: str = "data") -> tuple[Top, ...]:
        """Two layers of one name, one for each phase; the top "label" is kept for the loss."""
        made = self.tops(type_name, name, names, include={"phase": "TRAIN"}, **train)
        self.again(type_name, name, names, include={"phase": "TEST"}, **test)
        self.label = dict(zip(names, made)).get("label")
        return made

    def pictures(
        self, database: str, shape: Sequence[int], *, batch: int, test_batch: int | None = None, crop: bool = True,
        transform: Mapping[str, Any] | None = None, mirror: bool = True, name: str = "data", test_part: str = "test",
    ) -> Top:
        """In training pictures and labels of DATABASE_train_lmdb and DATABASE_test_lmdb, else an Input of one picture.

        crop    cuts pieces of this shape: random ones in training, the middle in tests
        mirror  flips half of the pictures in training
        """
        if not self.training:
            return self.input((1, *shape))
        common = dict(transform or {}) | ({"crop_size": shape[-1]} if crop else {})

        def phase(part: str, size: int, more: Mapping[str, Any]) -> dict[str, Any]:
            made = {"data_param": {"source": f"{database}_{part}_lmdb", "batch_size": size, "backend": "LMDB"}}
            return made | ({"transform_param": common | more} if common or more else {})

        train = phase("train", batch, {"mirror": True} if mirror else {})
        test = phase(test_part, test_batch or batch, {})
        return self.source("Data", ("data", "label"), train, test, name)[0]

    def imagenet(self, size: int, batch: int, mean: Sequence[float] = BGR_MEAN, **transform: Any) -> Top:
        """Pictures of ImageNet, BGR and without their mean, from ilsvrc12_train_lmdb and ilsvrc12_val_lmdb."""
        return self.pictures("ilsvrc12", (3, size, size), batch=batch, test_batch=50, test_part="val",
                             transform={"mean_value": list(mean), **transform})

    # --- layers with weights

    def conv(
        self, name: str, x: Top, outputs: int, kernel: int | tuple[int, int], stride: int = 1,
        pad: int | tuple[int, int] = 0, group: int = 1, bias: bool = True, *, type_name: str = "Convolution",
        **more: Any,
    ) -> Top:
        """A convolution; pairs are (height, width). DepthwiseConvolution takes no group."""
        p: dict[str, Any] = {"num_output": outputs, **_window(kernel, stride, pad)}
        p |= {"group": group} if group > 1 else {}
        p |= self._weights(bias, more)
        return self.layer(type_name, name, x, convolution_param=p, **self._params(bias, more), **more)

    def inner(self, name: str, x: Top, outputs: int, bias: bool = True, **more: Any) -> Top:
        """A fully connected layer."""
        p = {"num_output": outputs, **self._weights(bias, more)}
        if "axis" in more:
            p["axis"] = more.pop("axis")
        return self.layer("InnerProduct", name, x, inner_product_param=p, **self._params(bias, more), **more)

    def _weights(self, bias: bool, more: dict[str, Any]) -> dict[str, Any]:
        filler, offset = more.pop("filler", self.filler), more.pop("offset", self.offset)
        made: dict[str, Any] = {} if bias else {"bias_term": False}
        made |= {"weight_filler": {"type": filler} if isinstance(filler, str) else filler} if filler else {}
        return made | ({"bias_filler": {"type": "constant", "value": offset}} if bias and offset else {})

    def _params(self, bias: bool, more: dict[str, Any]) -> dict[str, Any]:
        """The multipliers; a layer without a bias keeps Caffe's, which are 1."""
        if "param" in more or not bias or not self.multipliers:
            return {}
        keys = ("lr_mult", "decay_mult")
        return {"param": [{k: v for k, v in zip(keys, pair) if v is not None} for pair in self.multipliers]}

    # --- layers without

    def pool(self, name: str, x: Top, method: str, kernel: int = 0, stride: int = 1, pad: int = 0, **more: Any) -> Top:
        """Pooling by "MAX" or "AVE"; without a kernel over the whole picture."""
        p: dict[str, Any] = {"pool": method} | (_window(kernel, stride, pad) if kernel else {"global_pooling": True})
        return self.layer("Pooling", name, x, pooling_param=p | more)

    def relu(self, name: str, x: Top, type_name: str = "ReLU", **more: Any) -> Top:
        """An activation in place."""
        return self.layer(type_name, name, x, in_place=True, **more)

    def dropout(self, name: str, x: Top, ratio: float = 0.5) -> Top:
        """Dropout in place."""
        return self.layer("Dropout", name, x, in_place=True, dropout_param={"dropout_ratio": ratio})

    def lrn(self, name: str, x: Top, size: int = 5, alpha: float = 0.0001, beta: float = 0.75, **more: Any) -> Top:
        """Local response normalization."""
        return self.layer("LRN", name, x, lrn_param={"local_size": size, "alpha": alpha, "beta": beta, **more})

    def norm(self, names: tuple[str, str], x: Top, in_place: bool = True, eps: float | None = None) -> Top:
        """BatchNorm and Scale with an offset, of these two names. Not in place, the top is named as the BatchNorm.

        The kept statistics move by a tenth in each iteration, so that a short training has some too.
        """
        p = {"moving_average_fraction": 0.9} | ({} if eps is None else {"eps": eps})
        x = self.layer("BatchNorm", names[0], x, in_place=in_place, batch_norm_param=p)
        # Decay would pull the scales to 0.
        free = [{"lr_mult": 1, "decay_mult": 0}] * 2
        return self.layer("Scale", names[1], x, in_place=True, scale_param={"bias_term": True}, param=free)

    def concat(self, name: str, *parts: Top) -> Top:
        """Channels side by side."""
        return self.layer("Concat", name, *parts)

    def add(self, name: str, *parts: Top) -> Top:
        """The sum."""
        return self.layer("Eltwise", name, *parts, eltwise_param={"operation": "SUM"})

    # --- the end

    def classify(
        self, scores: Top, *, loss: str = "loss", top1: str = "accuracy", top5: str = "", prob: str = "prob",
        weight: float | None = None, top: str = "",
    ) -> Top:
        """In training the loss and, in tests, the accuracies; else probabilities. `weight` is the loss's weight."""
        if not self.training:
            return self.layer("Softmax", prob, scores)
        test = {"include": {"phase": "TEST"}}
        self.layer("Accuracy", top1, scores, self.label, **test)
        if top5:
            self.layer("Accuracy", top5, scores, self.label, accuracy_param={"top_k": 5}, **test)
        more = {} if weight is None else {"loss_weight": weight}
        return self.tops("SoftmaxWithLoss", loss, (top or loss,), scores, self.label, **more)[0]

    def classify_each(self, scores: Top, ignore: int | None = None) -> Top:
        """As `classify`, for scores (T, N, classes): an answer at each step. Labels equal to `ignore` do not count."""
        if not self.training:
            return self.layer("Softmax", "prob", scores, softmax_param={"axis": 2})
        left_out = {} if ignore is None else {"ignore_label": ignore}
        self.layer("Accuracy", "accuracy", scores, self.label, accuracy_param={"axis": 2, **left_out},
                   include={"phase": "TEST"})
        more = {"loss_param": left_out} if left_out else {}
        return self.layer("SoftmaxWithLoss", "loss", scores, self.label, softmax_param={"axis": 2}, **more)

    def text(self, comment: str = "") -> str:
        """The prototxt."""
        message = self.spec.to_proto()
        message.name = self.name
        head = "".join(f"# {line}\n" for line in comment.splitlines())
        return head + net_text(net_from_message(message), WIDTH)


def _window(kernel: int | tuple[int, int], stride: int, pad: int | tuple[int, int]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value, default in (("kernel", kernel, None), ("stride", stride, 1), ("pad", pad, 0)):
        if isinstance(value, tuple):
            made |= {f"{key}_h": value[0], f"{key}_w": value[1]}
        elif value != default:
            made["kernel_size" if key == "kernel" else key] = value
    return made
