"""Window: sizes of sliding windows."""

from layerforge.core.window import Window


def test_one_number_stands_for_all_axes():
    assert Window.make((3, 5), 2, 1) == Window((3, 5), (2, 2), (1, 1), (1, 1), (1, 1))


def test_output_sizes_round_down():
    assert Window.make((3, 3), 2).out_shape((6, 7)) == (2, 3)


def test_dilation_widens_the_extent():
    window = Window.make((3,), dilation=4)
    assert window.extent == (9,)
    assert window.out_shape((12,)) == (4,)


def test_padding_may_differ_at_the_end():
    window = Window.make((3, 3), 2, pad=(0, 1), pad_end=(1, 1))
    assert window.padded_shape((6, 7)) == (7, 9)
    assert window.out_shape((6, 7)) == (3, 4)


def test_in_shape_inverts_out_shape_where_the_stride_divides():
    window = Window.make((4, 3), (2, 3), (1, 0), (1, 2))
    assert window.in_shape(window.out_shape((8, 11))) == (8, 11)


def test_only_a_single_value_without_stride_and_padding_is_pointwise():
    assert Window.make(()).pointwise
    assert Window.make((1, 1)).pointwise
    assert not Window.make((1, 1), 2).pointwise
    assert not Window.make((1, 1), 1, 1).pointwise
    assert not Window.make((1, 3)).pointwise


def test_a_kernel_larger_than_the_padded_size_does_not_fit():
    assert not Window.make((5,)).fits((4,))
    assert Window.make((5,), pad=1).fits((4,))
