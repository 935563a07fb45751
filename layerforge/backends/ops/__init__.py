"""The contracts of the kernels that arrays alone cannot say well: one file a family, named the same in every backend.

`out=` is overwritten, `acc=` is added to. Arrays are C-contiguous and of the backend; shapes are in the docstrings.
Each family is a class of methods without state; a backend's `ops` object inherits its version of all of them, and has
`xp` (numpy or cupy), so that layers write plain array maths as `self.xp` and kernels as `self.ops`.
"""
