// Screened repulsion between nuclei (see repulsion.py): one thread per atom, over the pairs near to it.

// ranges: (n_kinds, n_kinds, 4) inner, outer, k Z Z' and 1/a of each pair of elements. closest: the least
// distance of each atom's neighbours.
extern "C" __global__ void repel(
    int n, int n_kinds, const int* kind, const double* ranges, const long long* first, const int* counts,
    const double* vectors, const int* second, double* energies, double* forces, double* virials, double* closest
) {
    const double strength[4] = {SCREENING_COEFFICIENTS}, decay[4] = {SCREENING_DECAYS};
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= n) return;
    double energy = 0, force[3] = {0, 0, 0}, virial[9] = {0, 0, 0, 0, 0, 0, 0, 0, 0}, least = 1e300;
    for (long long p = first[i]; p < first[i] + counts[i]; ++p) {
        const double *d = vectors + 3 * p, *pair = ranges + 4 * (kind[i] * n_kinds + kind[second[p]]);
        const double r = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        least = min(least, r);
        const double width = pair[1] - pair[0];
        double fading, fade = switched((r - pair[0]) / width, &fading), screen = 0, falling = 0;
        for (int k = 0; k < 4; ++k) {
            const double term = strength[k] * exp(-decay[k] * pair[3] * r);
            screen += term;
            falling -= decay[k] * pair[3] * term;
        }
        const double bare = pair[2] / r, value = bare * screen, slope = bare * (falling - screen / r);
        energy += 0.5 * fade * value;
        const double pull = (fade * slope + fading / width * value) / r;
        for (int k = 0; k < 3; ++k) force[k] += pull * d[k];
        for (int k = 0; k < 9; ++k) virial[k] += 0.5 * pull * d[k / 3] * d[k % 3];
    }
    energies[i] = energy;
    closest[i] = least;
    for (int k = 0; k < 3; ++k) forces[3LL * i + k] = force[k];
    for (int k = 0; k < 9; ++k) virials[9LL * i + k] = virial[k];
}
