"""The facade that scripts import as `caffe`: pycaffe's names and manners over nets and solvers."""

from layerforge.pycaffe import io
from layerforge.pycaffe.blob import Blob
from layerforge.pycaffe.classifier import Classifier, Detector
from layerforge.pycaffe.layer import Layer
from layerforge.pycaffe.modes import (
    NCCL,
    TEST,
    TRAIN,
    Timer,
    has_nccl,
    init_log,
    layer_type_list,
    log,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    set_threads,
    solver_count,
    solver_rank,
)
from layerforge.pycaffe.net import Net
from layerforge.pycaffe.net_spec import NetSpec, layers, params, to_proto
from layerforge.pycaffe.solvers import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)

__all__ = [
    "NCCL", "TEST", "TRAIN", "AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "Blob", "Classifier", "Detector",
    "Layer", "NesterovSolver", "Net", "NetSpec", "RMSPropSolver", "SGDSolver", "Timer", "get_solver", "has_nccl",
    "init_log", "io",
    "layer_type_list", "layers", "log", "params", "set_device", "set_mode_cpu", "set_mode_gpu", "set_multiprocess",
    "set_random_seed", "set_solver_count", "set_solver_rank", "set_threads", "solver_count", "solver_rank", "to_proto",
]
