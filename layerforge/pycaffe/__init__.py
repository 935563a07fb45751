"""The facade that scripts import as `caffe`: pycaffe's names and manners over nets and solvers."""
