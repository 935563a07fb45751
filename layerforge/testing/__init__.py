"""What tests a layer, ours or a user's: the gradient checker and LayerTest."""

from layerforge.testing.gradient import check_gradient
from layerforge.testing.harness import Rig
from layerforge.testing.layer_test import LayerTest

__all__ = ["LayerTest", "Rig", "check_gradient"]
