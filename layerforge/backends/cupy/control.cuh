// Places in the doubles of `control`, with which a device judges its iterations itself. control.py has the same numbers.
#pragma once

#define MOVES 0        // 1 while the iteration's update is to be done, 0 if it is skipped
#define SCALE 1        // what gradients are multiplied with: clipping factor / (iter_size * loss scale)
#define HALTED 2       // 1 after a loss that was not finite: nothing moves, no batch and no number comes in
#define BATCH 3        // loss of this batch so far
#define LOSS 4         // sum of the losses of the iteration's batches
#define SQUARES 5      // sum of squares of the gradients
#define OVERFLOWED 6   // set by whoever meets a gradient that is not finite, where the numbers are 16 bits wide
#define JUDGED 7       // iterations that came to a judgement
#define LOSS_SCALE 8   // what the loss's gradient was multiplied with
#define GOOD 9         // iterations without overflow since the loss scale last changed
#define PLACES 16
#define KEPT 4         // doubles of a judgement: loss, norm, clipping factor, whether parameters moved
