"""The fields of a solver text."""

import logging

import pytest

from layerforge.core.errors import PrototxtError
from layerforge.schema.messages import descriptor
from layerforge.schema.read import parse_solver
from layerforge.solver.params import SolverParams


def params(text):
    return SolverParams.from_definition(parse_solver(text, "s.prototxt"))


def test_every_field_of_the_schema_is_typed():
    assert {field.name for field in descriptor("SolverParameter").fields} == set(SolverParams.specs())


PLAIN = [name for name, spec in SolverParams.specs().items() if spec.kind in (int, float, bool, str)]


@pytest.mark.parametrize("name", PLAIN)
def test_defaults_are_those_of_the_schema(name):
    field, spec = descriptor("SolverParameter").fields_by_name[name], SolverParams.specs()[name]
    if spec.repeated:
        assert spec.default == ()
    elif field.enum_type is not None:
        assert set(spec.choices or (spec.default,)) <= set(field.enum_type.values_by_name)
        assert field.enum_type.values_by_name[spec.default].number == field.default_value
    elif spec.default is not None:
        assert spec.default == pytest.approx(field.default_value)


def test_the_old_enum_names_the_type():
    assert params("solver_type: ADAGRAD").type == "AdaGrad"


@pytest.mark.parametrize("text", ["iter_size: 0", "average_loss: 0", 'regularization_type: "L3"', "test_iter: 0",
                                  "display: -1", "snapshot: -1", "max_iter: -5", "base_lr: -0.1"])
def test_values_out_of_range_name_place_and_field(text):
    with pytest.raises(PrototxtError, match=rf"^s.prototxt:1: solver: {text.split(':')[0]}: "):
        params(text)


def test_fields_of_forks_without_effect_are_said(caplog):
    with caplog.at_level(logging.WARNING, "layerforge"):
        params("store_blobs_in_old_format: true")
    assert "store_blobs_in_old_format has no effect" in caplog.text


def test_a_loss_scale_without_fp16_is_said(caplog):
    with caplog.at_level(logging.WARNING, "layerforge"):
        params("loss_scale: 128").check_loss_scale("BF16")
    assert "s.prototxt:1: solver: loss_scale is for FP16 gradients and has no effect with compute_type: BF16" in \
        caplog.text


def test_a_loss_scale_of_fp16_is_left_alone(caplog):
    with caplog.at_level(logging.WARNING, "layerforge"):
        params("loss_scale: 128").check_loss_scale("FP16")
    assert not caplog.text


def test_larc_points_to_lars():
    with pytest.raises(PrototxtError, match='type: "LARS"'):
        params("larc: true")
