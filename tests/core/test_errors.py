"""An error names its place and its cure."""

from layerforge.core.errors import NetError, did_you_mean, nearest


def test_an_error_reads_place_message_hint():
    error = NetError("layer 'a' (ReLU): bottom 'x' is missing", where="net.prototxt:3", hint="did you mean 'y'?")
    assert str(error) == "net.prototxt:3: layer 'a' (ReLU): bottom 'x' is missing\n  hint: did you mean 'y'?"


def test_a_typo_finds_the_nearest_name():
    assert nearest("Convolutoin", ["Convolution", "Concat"]) == "Convolution"


def test_a_wrong_case_finds_the_name():
    assert did_you_mean("relu", ["ReLU", "PReLU"]) == "did you mean 'ReLU'?"


def test_nothing_close_gives_no_hint():
    assert did_you_mean("zzz", ["ReLU"]) is None
