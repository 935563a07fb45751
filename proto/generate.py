"""Compiles proto/layerforge.proto into layerforge/schema/_generated/layerforge.desc. `make proto` runs it.

The result is a serialized FileDescriptorProto: classes are made from it at import, in a pool of
their own, so it suits every protobuf from 5.26 on. Needs grpcio-tools.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SOURCE = ROOT / "layerforge.proto"
TARGET = ROOT.parent / "layerforge" / "schema" / "_generated" / "layerforge.desc"


def compile_descriptor() -> bytes:
    """The compiled descriptor.

    Raises SystemExit when grpcio-tools is missing or the source has an error.
    """
    try:
        from grpc_tools import protoc
    except ImportError:
        sys.exit("proto/generate.py needs grpcio-tools: pip install grpcio-tools")
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.desc"
        if protoc.main(["protoc", f"-I{ROOT}", f"--descriptor_set_out={out}", str(SOURCE)]):
            sys.exit(f"{SOURCE} does not compile")
        file = FileDescriptorSet.FromString(out.read_bytes()).file[0]
    messages = list(file.message_type)
    while messages:  # JSON names follow from the names; protoc's versions differ in writing them
        message = messages.pop()
        messages.extend(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")
    return file.SerializeToString(deterministic=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 when the stored file is old")
    check = parser.parse_args().check
    fresh = compile_descriptor()
    if check:
        same = TARGET.is_file() and TARGET.read_bytes() == fresh
        print(f"{TARGET.name} is {'up to date' if same else 'old: run make proto'}")
        return 0 if same else 1
    TARGET.write_bytes(fresh)
    print(f"wrote {TARGET} ({len(fresh)} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
