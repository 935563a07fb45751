"""Builds the graphs of a file without a device: build_plans.py KEYS PROPERTIES. Prints JSON: graph → plan."""

import json
import sys
from pathlib import Path

import cudnn

from layerforge.core.errors import DeviceError
from layerforge.engines.cudnn import graphs
from layerforge.engines.cudnn.plans import finalise

device = cudnn.create_device_properties(Path(sys.argv[2]).read_text("utf-8"))
found = {}
for line in Path(sys.argv[1]).read_text("utf-8").splitlines():
    key = eval(line, {name: getattr(graphs, name) for name in dir(graphs)})  # the test's own dataclasses
    try:
        found[line] = finalise(cudnn, key, device_property=device).name
    except DeviceError as error:
        found[line] = error.message
print(json.dumps(found))
