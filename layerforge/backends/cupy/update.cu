// Update rules: each thread moves one parameter w along its gradient g and leaves in g what was subtracted. First
//     g = scale g + l2 w + l1 sign(w)
// Numbers that change from one iteration to the next are given as doubles, or, in a recorded iteration, read from `row`,
// a device array of the same numbers in the same order. Where the device itself judges the iteration, `control` says
// whether anything moves, and holds the scale.
#include "common.cuh"
#include "control.cuh"

#define NUMBER(i, value) (real)(row ? row[i] : (value))

struct Decay { real scale, l2, l1; };

__device__ real regularised(real g, real w, Decay d) {
    real sign = w > 0 ? real(1) : w < 0 ? real(-1) : real(0);
    return d.scale * g + d.l2 * w + d.l1 * sign;
}

// mean = decay mean + (1 - decay) x^2
__device__ real decaying(real mean, real x, double decay) { return (real)decay * mean + (real)(1 - decay) * x * x; }

#define DECAY double scale, double l2, double l1, const double* control
#define HAVE_DECAY(first) \
    Decay {control ? (real)control[SCALE] : NUMBER(first, scale), NUMBER(first + 1, l2), NUMBER(first + 2, l1)}; \
    if (control && !control[MOVES]) return

// h = momentum h + lr g,  w = w - h
extern "C" __global__ void sgd(real* w, real* g, real* h, int count, const double* row, double lr,
                               double momentum, DECAY) {
    Decay decay = HAVE_DECAY(2);
    real rate = NUMBER(0, lr), part = NUMBER(1, momentum);
    EACH(i, count) {
        real step = part * h[i] + rate * regularised(g[i], w[i], decay);
        h[i] = g[i] = step;
        w[i] -= step;
    }
}

// h' = momentum h + lr g,  w = w - ((1 + momentum) h' - momentum h)
extern "C" __global__ void nesterov(real* w, real* g, real* h, int count, const double* row, double lr, double momentum,
                                    DECAY) {
    Decay decay = HAVE_DECAY(2);
    real rate = NUMBER(0, lr), part = NUMBER(1, momentum);
    EACH(i, count) {
        real last = part * h[i], next = last + rate * regularised(g[i], w[i], decay);
        h[i] = next;
        g[i] = next * (1 + part) - last;
        w[i] -= g[i];
    }
}

// h = h + g^2,  w = w - lr g / (sqrt(h) + delta)
extern "C" __global__ void adagrad(real* w, real* g, real* h, int count, const double* row, double lr,
                                   double delta, DECAY) {
    Decay decay = HAVE_DECAY(2);
    real rate = NUMBER(0, lr), small = NUMBER(1, delta);
    EACH(i, count) {
        real value = regularised(g[i], w[i], decay);
        h[i] += value * value;
        g[i] = rate * (value / (sqrt(h[i]) + small));
        w[i] -= g[i];
    }
}

// h = decay h + (1 - decay) g^2,  w = w - lr g / (sqrt(h) + delta)
extern "C" __global__ void rmsprop(real* w, real* g, real* h, int count, const double* row, double lr, double keep,
                                   double delta, DECAY) {
    Decay decay = HAVE_DECAY(3);
    real rate = NUMBER(0, lr), small = NUMBER(2, delta);
    double part = row ? row[1] : keep;
    EACH(i, count) {
        real value = regularised(g[i], w[i], decay);
        h[i] = decaying(h[i], value, part);
        g[i] = rate * (value / (sqrt(h[i]) + small));
        w[i] -= g[i];
    }
}

// h = decay h + (1 - decay) g^2,  d = g sqrt((u + delta) / (h + delta)),  u = decay u + (1 - decay) d^2,  w = w - lr d
extern "C" __global__ void adadelta(real* w, real* g, real* h, real* u, int count, const double* row, double lr, double keep,
                                    double delta, DECAY) {
    Decay decay = HAVE_DECAY(3);
    real rate = NUMBER(0, lr), small = NUMBER(2, delta);
    double part = row ? row[1] : keep;
    EACH(i, count) {
        real value = regularised(g[i], w[i], decay);
        h[i] = decaying(h[i], value, part);
        real step = value * sqrt((u[i] + small) / (h[i] + small));
        u[i] = decaying(u[i], step, part);
        g[i] = rate * step;
        w[i] -= g[i];
    }
}

// m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,  w = w - lr correction m / (sqrt(v) + delta)
// decoupled: the decay joins the step instead of g
extern "C" __global__ void adam(real* w, real* g, real* m, real* v, int count, int decoupled, const double* row, double lr,
                                double correction, double beta1, double beta2, double delta, DECAY) {
    Decay decay = HAVE_DECAY(5);
    double first = row ? row[2] : beta1, second = row ? row[3] : beta2, length = row ? row[0] * row[1] : lr * correction;
    real rate = NUMBER(0, lr), small = NUMBER(4, delta);
    EACH(i, count) {
        real value = decoupled ? decay.scale * g[i] : regularised(g[i], w[i], decay);
        m[i] = (real)first * m[i] + (real)(1 - first) * value;
        v[i] = decaying(v[i], value, second);
        real step = m[i] / (sqrt(v[i]) + small) * (real)length;
        if (decoupled) step += rate * regularised(0, w[i], decay);
        g[i] = step;
        w[i] -= step;
    }
}

// For LARS: made = (lr r, momentum, scale, l2, l1), which sgd then reads as its row, with
//     r = eta sqrt(norms[0]) / (scale sqrt(norms[1]) + l2 sqrt(norms[0]))
// or 1 where a norm is 0; with clip: min(lr, r) instead of lr r.  norms: sums of squares of w and of g.
extern "C" __global__ void lars_row(double* made, const double* norms, double eta, int clip, const double* row, double lr,
                                    double momentum, DECAY) {
    EACH(i, 1) {
        double rate = row ? row[0] : lr, factor = control ? control[SCALE] : row ? row[2] : scale, part = row ? row[3] : l2;
        double weight = sqrt(norms[0]), gradient = __dmul_rn(factor, sqrt(norms[1])), ratio = 1;
        if (weight != 0 && gradient != 0) ratio = __dmul_rn(eta, weight) / __dadd_rn(gradient, __dmul_rn(part, weight));
        made[0] = !clip ? __dmul_rn(rate, ratio) : ratio < rate ? ratio : rate;
        made[1] = row ? row[1] : momentum;
        made[2] = factor, made[3] = part;
        made[4] = row ? row[4] : l1;
    }
}
