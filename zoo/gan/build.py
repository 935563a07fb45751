"""A small generative adversarial net: one net draws digits, the other tells drawn from real ones."""

from layerforge.zoo.recipe import solver
from layerforge.zoo.sketch import Sketch, Top

NOISE, PIXELS, BATCH = 32, 64, 64  # pictures of 8 × 8
GAUSSIAN = {"type": "gaussian", "std": 0.1}


def texts() -> dict[str, str]:
    made = {f"{name}.prototxt": sketch.text(comment) for name, (sketch, comment) in {
        "deploy": (drawing(), "Draws pictures from noise."),
        "discriminator": (telling(), "Learns to tell real pictures (label 1) from drawn ones (label 0)."),
        "generator": (fooling(), "Learns to draw pictures that the other net, which keeps still, takes for real."),
    }.items()}
    for name in ("discriminator", "generator"):
        made[f"{name}_solver.prototxt"] = solver(
            "One of two solvers that take turns; train.py drives them.", net=f"{name}.prototxt", type="Adam",
            base_lr=0.001, lr_policy="fixed", momentum=0.5, momentum2=0.999, max_iter=4000,
            snapshot_prefix=f"gan_{name}", snapshot_after_train=False)
    return made


def generator(n: Sketch, noise: Top) -> Top:
    """Noise to pixels between 0 and 1."""
    x = n.relu("g_relu1", n.inner("g_ip1", noise, 128))
    return n.layer("Sigmoid", "picture", n.inner("g_ip2", x, PIXELS))


def discriminator(n: Sketch, x: Top) -> Top:
    """Pixels to a score, above 0 for real."""
    x = n.relu("d_relu1", n.inner("d_ip1", x, 128), relu_param={"negative_slope": 0.2})
    return n.inner("d_ip2", x, 1)


def drawing() -> Sketch:
    n = Sketch("GAN", training=False, filler=GAUSSIAN, multipliers=())
    generator(n, n.input((BATCH, NOISE), "noise"))
    return n


def telling() -> Sketch:
    n = Sketch("GAN-discriminator", training=True, filler=GAUSSIAN, multipliers=())
    x, label = n.input((2 * BATCH, PIXELS), "picture"), n.input((2 * BATCH, 1), "label")
    n.layer("SigmoidCrossEntropyLoss", "loss", discriminator(n, x), label)
    return n


def fooling() -> Sketch:
    n = Sketch("GAN-generator", training=True, filler=GAUSSIAN, multipliers=())
    noise, label = n.input((BATCH, NOISE), "noise"), n.input((BATCH, 1), "label")
    x = generator(n, noise)
    n.multipliers = ((0, 0), (0, 0))
    n.layer("SigmoidCrossEntropyLoss", "loss", discriminator(n, x), label)
    return n
