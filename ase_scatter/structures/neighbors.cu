// Neighbours of the atoms of several structures at once, in bins; all distances in float64.
//
// A pair is one integer, j·2³⁰ + the shifts + 512 (ten bits each), sorted for each atom: sums over pairs come
// out the same, bit for bit, whichever list they come from. Shifts are those of atoms wrapped into the cell;
// `turns` says how often each atom was.

__device__ static void place(const double* position, const int* turn, const double* cell, double* x) {
    for (int k = 0; k < 3; ++k)
        x[k] = position[k] - (turn[0] * cell[k] + turn[1] * cell[3 + k] + turn[2] * cell[6 + k]);
}

// Wraps the atoms and numbers their bins: keys of (bin, atom). inverse: of the cells; low, scale: where the
// bins of each structure begin, in fractions, and how many there are per fraction.
extern "C" __global__ void wrap(
    int n, const double* positions, const int* owner, const double* cells, const double* inverse,
    const int* periodic, const int* bins, const int* first_bin, const double* low, const double* scale,
    int* turns, long long* keys
) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= n) return;
    const int s = owner[i];
    const double *x = positions + 3LL * i, *to = inverse + 9LL * s;
    long long bin = 0;
    for (int axis = 0; axis < 3; ++axis) {
        double f = x[0] * to[axis] + x[1] * to[3 + axis] + x[2] * to[6 + axis];
        int turn = 0;
        if (periodic[3 * s + axis]) {
            turn = (int)floor(f);
            f -= turn;
        }
        turns[3LL * i + axis] = turn;
        const int last = bins[3 * s + axis] - 1;
        bin = bin * (last + 1) + max(0, min(last, (int)((f - low[3 * s + axis]) * scale[3 * s + axis])));
    }
    keys[i] = (first_bin[s] + bin) * n + i;
}

// All pairs of atom i nearer than reach: counted where keys_out is not yet there (write = 0), else written.
extern "C" __global__ void search(
    int n, int write, double reach, const double* positions, const int* owner, const double* cells,
    const int* periodic, const int* bins, const int* first_bin, const int* range, const int* turns,
    const long long* keys, const long long* sorted, const long long* starts, const long long* first,
    long long* counts, long long* found
) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= n) return;
    const int s = owner[i];
    const double* cell = cells + 9LL * s;
    const int *size = bins + 3 * s, *far = range + 3 * s, *wrapped = periodic + 3 * s;
    double here[3], there[3];
    place(positions + 3LL * i, turns + 3LL * i, cell, here);
    int mine[3];
    long long bin = keys[i] / n - first_bin[s];
    for (int axis = 2; axis >= 0; --axis) {
        mine[axis] = (int)(bin % size[axis]);
        bin /= size[axis];
    }
    long long count = 0;
    for (int a = mine[0] - far[0]; a <= mine[0] + far[0]; ++a)
        for (int b = mine[1] - far[1]; b <= mine[1] + far[1]; ++b)
            for (int c = mine[2] - far[2]; c <= mine[2] + far[2]; ++c) {
                int at[3] = {a, b, c}, shift[3];
                bool inside = true;
                for (int axis = 0; axis < 3; ++axis) {
                    shift[axis] = at[axis] >= 0 ? at[axis] / size[axis] : -((size[axis] - 1 - at[axis]) / size[axis]);
                    at[axis] -= shift[axis] * size[axis];
                    inside = inside && (wrapped[axis] || shift[axis] == 0);
                }
                if (!inside) continue;
                const long long which = first_bin[s] + ((long long)at[0] * size[1] + at[1]) * size[2] + at[2];
                for (long long q = starts[which]; q < starts[which + 1]; ++q) {
                    const int j = (int)(sorted[q] % n);
                    if (j == i && shift[0] == 0 && shift[1] == 0 && shift[2] == 0) continue;
                    place(positions + 3LL * j, turns + 3LL * j, cell, there);
                    double square = 0;
                    for (int k = 0; k < 3; ++k) {
                        const double d =
                            there[k] + shift[0] * cell[k] + shift[1] * cell[3 + k] + shift[2] * cell[6 + k] - here[k];
                        square += d * d;
                    }
                    if (square >= reach * reach) continue;
                    if (write)
                        found[first[i] + count] = ((long long)j << 30) + ((long long)(shift[0] + 512) << 20)
                                                  + ((shift[1] + 512) << 10) + shift[2] + 512;
                    ++count;
                }
            }
    if (!write) counts[i] = count;
}

// Puts the pairs of each atom (one block) in order.
extern "C" __global__ void order(const long long* first, const long long* found, long long* ordered) {
    const long long begin = first[blockIdx.x], end = first[blockIdx.x + 1];
    for (long long p = begin + threadIdx.x; p < end; p += THREADS) {
        long long rank = 0;
        for (long long q = begin; q < end; ++q) rank += found[q] < found[p];
        ordered[begin + rank] = found[p];
    }
}

// Of each atom the pairs within the cutoff: vectors (x, y, z) and the other atom. Turns are taken together
// with shifts, as integers, so that vectors do not depend on where atoms were when the list was made.
extern "C" __global__ void near(
    int n, double cutoff, const double* positions, const int* owner, const double* cells, const int* turns,
    const long long* first, const long long* pairs, int* counts, REAL* vectors, int* second
) {
    const int i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= n) return;
    const double *cell = cells + 9LL * owner[i], *here = positions + 3LL * i;
    long long at = first[i];
    for (long long p = first[i]; p < first[i + 1]; ++p) {
        const long long pair = pairs[p];
        const int j = (int)(pair >> 30);
        int shift[3] = {(int)(pair >> 20 & 1023), (int)(pair >> 10 & 1023), (int)(pair & 1023)};
        for (int axis = 0; axis < 3; ++axis) shift[axis] += turns[3LL * i + axis] - turns[3LL * j + axis] - 512;
        double d[3], square = 0;
        for (int k = 0; k < 3; ++k) {
            d[k] = positions[3LL * j + k] - here[k] + (shift[0] * cell[k] + shift[1] * cell[3 + k] + shift[2] * cell[6 + k]);
            square += d[k] * d[k];
        }
        if (square >= cutoff * cutoff) continue;
        for (int k = 0; k < 3; ++k) vectors[3 * at + k] = (REAL)d[k];
        second[at++] = j;
    }
    counts[i] = (int)(at - first[i]);
}

// Sums over the atoms of each structure (one block), in a fixed order: of the energies (N,) and the nine
// components of the virials (N, 3, 3).
extern "C" __global__ void totals(const int* first, const double* energies, const double* virials, double* sums) {
    extern __shared__ double parts[];
    double mine[10] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    for (long long i = first[blockIdx.x] + threadIdx.x; i < first[blockIdx.x + 1]; i += THREADS) {
        mine[0] += energies[i];
        for (int k = 0; k < 9; ++k) mine[1 + k] += virials[9 * i + k];
    }
    for (int k = 0; k < 10; ++k) parts[k * THREADS + threadIdx.x] = mine[k];
    sum_over_block(parts, 10);
    if (threadIdx.x < 10) sums[10 * blockIdx.x + threadIdx.x] = parts[threadIdx.x * THREADS];
}
