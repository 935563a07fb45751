"""AlexNet-S of the 2017 survey: AlexNet without normalization, on made-up pictures."""

from functools import partial

from layerforge.zoo.families import alexnet
from layerforge.zoo.families.survey import made_up, schedule
from layerforge.zoo.recipe import nets


def texts() -> dict[str, str]:
    body = partial(alexnet.body, pool_first=True, offset=0.1, normalize=False,
                   pictures=lambda n: made_up(n, (3, 227, 227), batch=16))
    made = nets("AlexNet-S", body, filler={"type": "gaussian", "std": 0.01})
    return made | {"solver.prototxt": schedule("survey_alexnet_s")}
