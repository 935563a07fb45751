"""SolverParams: every field of SolverParameter, typed, with its range and what it means."""

from __future__ import annotations

import logging

from layerforge.core.errors import PrototxtError
from layerforge.netdef.params import Params, field
from layerforge.netdef.types import NetDef, SolverDef

log = logging.getLogger("layerforge")

OLD_TYPES = {
    "SGD": "SGD", "NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad", "RMSPROP": "RMSProp", "ADADELTA": "AdaDelta",
    "ADAM": "Adam", "SAG": "SAG",
}
"""The names of the enum solver_type in today's spelling."""

WITHOUT_EFFECT = ("solver_data_type", "store_blobs_in_old_format", "test_and_snapshot_last_epochs", "eval_type",
                  "ap_version", "show_per_class_result")
"""Fields of forks that are read and left alone, with a warning."""


class NetStateParams(Params):
    """Which layers of a net take part: Caffe's NetState."""

    phase: str = field(str, choices=("TRAIN", "TEST"), doc="TRAIN or TEST; the default follows from the use of the net")
    level: int = field(int, 0, doc="held against the min_level and max_level of the layers' rules")
    stage: tuple[str, ...] = field(str, repeated=True, doc="names that the layers' rules may ask for")


class SolverParams(Params):
    """The fields of a solver text, by subject."""

    # the nets
    net: str = field(str, doc="the file of the train net, and of the test nets where no test_net is named")
    net_param: NetDef = field(NetDef, doc="the same, written into the solver")
    train_net: str = field(str, doc="the file of the train net")
    train_net_param: NetDef = field(NetDef, doc="the train net, written into the solver")
    test_net: tuple[str, ...] = field(str, repeated=True, doc="the files of the test nets")
    test_net_param: tuple[NetDef, ...] = field(NetDef, repeated=True, doc="the test nets, written into the solver")
    train_state: NetStateParams = field(NetStateParams, NetStateParams(), doc="level and stages of the train net")
    test_state: tuple[NetStateParams, ...] = field(
        NetStateParams, repeated=True, doc="level and stages, once per test net")
    weights: tuple[str, ...] = field(str, repeated=True, doc="weights files to start from, also separated by commas")

    # testing
    test_iter: tuple[int, ...] = field(int, repeated=True, at_least=1, doc="how many batches each test net runs")
    test_interval: int = field(int, 0, at_least=0, doc="iterations between two tests; 0: no tests")
    test_compute_loss: bool = field(bool, False, doc="reports the mean loss of each test too")
    test_initialization: bool = field(bool, True, doc="tests once before the first iteration")
    eval_type: str = field(str, "classification", doc="how SSD scores its test nets: classification or detection")
    ap_version: str = field(str, "Integral", doc="how SSD averages precision: 11point, MaxIntegral or Integral")
    show_per_class_result: bool = field(bool, False, doc="prints SSD's precision of every class")

    # the learning rate
    base_lr: float = field(float, 0.0, at_least=0, doc="the learning rate that the policy scales")
    lr_policy: str = field(
        str, "", doc="how the rate changes: fixed, step, exp, inv, multistep, poly, sigmoid, cosine, plateau")
    gamma: float = field(float, 0.0, doc="the factor of step, multistep, plateau and exp; the slope of inv and sigmoid")
    power: float = field(float, 0.0, doc="the exponent of inv and poly")
    stepsize: int = field(int, 0, doc="iterations per step; the middle of sigmoid")
    stepvalue: tuple[int, ...] = field(int, repeated=True, doc="iterations at which multistep steps")
    plateau_winsize: tuple[int, ...] = field(
        int, repeated=True, at_least=1, doc="iterations without a new lowest loss after which plateau steps")
    min_lr: float = field(float, 0.0, at_least=0, doc="the rate never falls below it; cosine and poly end there")
    warmup_iter: int = field(int, 0, at_least=0, doc="iterations of linear warm-up before the policy applies")
    warmup_start_lr: float = field(float, 0.0, at_least=0, doc="the rate at which the warm-up starts")
    rampup_interval: int = field(int, 0, at_least=0, doc="iterations of NVCaffe's quadratic warm-up")
    rampup_lr: float = field(float, 0.0, at_least=0, doc="the rate at which NVCaffe's warm-up starts")

    # the update
    type: str = field(str, "SGD", doc="the rule: SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam, AdamW or LARS")
    solver_type: str = field(
        str, "SGD", choices=tuple(OLD_TYPES), doc="the old form of type")
    momentum: float = field(float, 0.0, doc="the share of the last step that goes on; AdaDelta's decay, Adam's first")
    momentum_policy: str = field(
        str, "fixed", choices=("fixed", "poly", "opt"), doc="NVCaffe: how momentum changes during the run")
    max_momentum: float = field(float, 0.99, doc="NVCaffe: where momentum_policy: poly ends, and the bound of opt")
    momentum_power: float = field(float, 1.0, above=0, doc="NVCaffe: the exponent of momentum_policy: poly")
    momentum2: float = field(float, 0.999, doc="the decay of Adam's mean of squares")
    rms_decay: float = field(float, 0.99, doc="the decay of RMSProp's mean of squares, at least 0 and below 1")
    delta: float = field(float, 1e-8, doc="keeps divisors from 0")
    larc: bool = field(bool, False, doc="scales each parameter's rate as NVCaffe does; here that is type: \"LARS\"")
    larc_turbo: bool = field(bool, False, doc="NVCaffe: LARC with the correlation of successive gradients")
    larc_policy: str = field(
        str, "scale", choices=("scale", "clip"), doc="LARS: the trust ratio scales the rate, or bounds it")
    larc_eta: float = field(float, 0.001, above=0, doc="LARS: the trust coefficient")
    weight_decay: float = field(float, 0.0, doc="the strength of the regularisation")
    weight_decay_policy: str = field(
        str, "fixed", choices=("fixed", "poly"), doc="NVCaffe: how weight_decay changes during the run")
    weight_decay_power: float = field(float, 1.0, above=0, doc="NVCaffe: the exponent of weight_decay_policy: poly")
    max_weight_decay: float = field(float, 0.0, doc="NVCaffe: where weight_decay_policy: poly ends")
    regularization_type: str = field(str, "L2", choices=("L1", "L2"), doc="L2 pulls by the weight, L1 by its sign")
    clip_gradients: float = field(float, -1.0, doc="the largest L2 norm of all gradients together; negative: no bound")
    iter_size: int = field(int, 1, at_least=1, doc="batches whose gradients add up to one iteration")

    # the run
    max_iter: int = field(int, 0, at_least=0, doc="iterations to train")
    display: int = field(int, 0, at_least=0, doc="iterations between two log lines; 0: none")
    average_loss: int = field(int, 1, at_least=1, doc="iterations over which the displayed loss is averaged")
    debug_info: bool = field(bool, False, doc="prints mean magnitudes of all blobs and parameters with every log line")
    random_seed: int = field(int, -1, doc="the seed of fillers, dropout, crops and shuffles; negative: drawn anew")
    solver_mode: str = field(
        str, "GPU", choices=("CPU", "GPU"), doc="where to train when the command line does not say")
    device_id: int = field(int, 0, at_least=0, doc="which GPU")
    layer_wise_reduce: bool = field(
        bool, True, doc="overlaps backward with the exchange of gradients among several GPUs")
    compute_type: str = field(
        str, "FP32", choices=("FP32", "TF32", "BF16", "FP16"),
        doc="what engines compute products in, unless a net says otherwise")
    loss_scale: float = field(float, 0.0, at_least=0, doc="the factor of FP16 gradients; 0: found by the run")
    plugins: tuple[str, ...] = field(str, repeated=True, doc="Python modules or files to load before the nets are read")
    solver_data_type: str = field(str, "FLOAT", doc="NVCaffe: the type of the history; here that of the parameter")
    test_and_snapshot_last_epochs: int = field(
        int, 0, doc="NVCaffe: tests and saves in each of the last epochs; has no effect here")

    # snapshots
    snapshot: int = field(int, 0, at_least=0, doc="iterations between two snapshots; 0: none on the way")
    snapshot_prefix: str = field(
        str, "", doc="the start of the files' names, or a folder; the default is the solver file's name")
    snapshot_diff: bool = field(bool, False, doc="saves the gradients too")
    snapshot_format: str = field(str, "BINARYPROTO", choices=("HDF5", "BINARYPROTO"), doc="the format of the files")
    snapshot_after_train: bool = field(bool, True, doc="saves at the end")
    store_blobs_in_old_format: bool = field(bool, False, doc="NVCaffe: a way to write weights; has no effect here")

    @classmethod
    def from_definition(cls, definition: SolverDef) -> SolverParams:
        """Builds and checks the parameters.

        Raises PrototxtError with place, field, value and what it must be.
        """
        params = cls.from_fields(definition.fields, "solver", definition.where)
        params.check()
        return params

    def check(self) -> None:
        """The rules that several fields take part in."""
        if self.has("solver_type") and not self.has("type"):
            object.__setattr__(self, "type", OLD_TYPES[self.solver_type])
        if "poly" in (self.momentum_policy, self.weight_decay_policy) and not self.max_iter:
            self.refuse("max_iter", "a policy poly needs max_iter")
        for name in WITHOUT_EFFECT:
            if self.has(name):
                log.warning("%s: solver: %s has no effect here", self.where(name), name)
        if self.larc or self.larc_turbo:
            self.refuse("larc", "larc: true is NVCaffe's way to say it",
                        hint='write type: "LARS" (with larc_eta) instead')

    def check_loss_scale(self, compute_type: str) -> None:
        """Says that the scale of FP16 gradients has no effect on a train net of another type."""
        if self.has("loss_scale") and compute_type != "FP16":
            log.warning("%s: solver: loss_scale is for FP16 gradients and has no effect with compute_type: %s",
                        self.where("loss_scale"), compute_type or "FP32")

    def refuse(self, name: str, problem: str, *, hint: str | None = None) -> None:
        """Raises PrototxtError at this field."""
        raise PrototxtError(f"solver: {problem}", where=self.where(name),
                            hint=hint or f"{name} is {self.specs()[name].doc}")


