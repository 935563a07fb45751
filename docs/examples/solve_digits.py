"""Solving in Python: a loop of one's own around a solver, with a learning curve and a test after every round.

    layerforge dataset digits
    layerforge run solve_digits.py zoo/digits/solver.prototxt 300
"""

import sys

import caffe
import numpy as np

solver_file, iterations = sys.argv[1], int(sys.argv[2])
caffe.set_mode_cpu()
solver = caffe.get_solver(solver_file)
net, test_net = solver.net, solver.test_nets[0]
for name, blob in net.blobs.items():
    print(f"{name:8} {tuple(blob.shape)}")

losses = []
weights = net.params["conv1"][0].data  # live: it shows the new weights after every step
start = weights.copy()
for _ in range(iterations):
    solver.step(1)  # forward, backward, update
    losses.append(float(net.blobs["loss"].data))
    if solver.iter % 50 == 0 or solver.iter == iterations:
        test_net.forward()  # its weights are the train net's
        accuracy = float(test_net.blobs["accuracy"].data)
        print(f"iteration {solver.iter}: loss {np.mean(losses[-50:]):.3f}, test accuracy {accuracy:.3f}")

# The parts of a step, one after the other, with something between them.
net.clear_param_diffs()
net.forward()
net.backward()
norm = np.sqrt(sum((p.diff**2).sum() for blobs in net.params.values() for p in blobs))
print(f"the gradient has the norm {norm:.3f}")
solver.apply_update()

print(f"conv1 has moved by {np.abs(weights - start).max():.3f} at most")
net.save("digits.caffemodel")
