"""The definition of a net as plain values: no protobuf, no memory, no device."""
