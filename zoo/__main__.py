"""`python -m layerforge.zoo [NAME ...]`: writes the prototxts of these models, or of all, from their programs."""

import sys

from layerforge.zoo.recipe import ROOT, write

if __name__ == "__main__":
    for folder in sorted(path.parent for path in ROOT.glob("*/build.py")):
        if len(sys.argv) == 1 or folder.name in sys.argv[1:]:
            for name in write(folder):
                print(name)
