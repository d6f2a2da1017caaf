// Passes over atoms for the atom-centred transform (see transform.py): one block per atom.
//
//     0. hold       where the functions of each pair are taken
//     1. fields     A, and g of the fields that are convolved again
//     2. terms      B; the atom's energy; ∂E/∂A without what comes through g; ∂E/∂B
//     3. messages   ∂E/∂g, gathered from the neighbours' ∂E/∂B; completes ∂E/∂A
//     4. forces     of each pair, from ∂E/∂A and ∂E/∂B at both its ends
//
// Everything is gathered by the atom that it is for (φ_lm(−r) = (−1)^l φ_lm(r) serves to look from the other
// end), so that nothing is written twice and sums have a fixed order. Pairs go through shared memory TILE at
// a time, with the pair functions of the tile; tables are named by macros, `name_` for where each stands.
//
// A and B hold the fields in use, one after the other (`entries`). Energies come from gradients, since every
// group of terms is homogeneous; they, forces and virials are summed in float64.

#define RANGE(index, n) for (int index = threadIdx.x; index < (n); index += THREADS)
#define ROUNDS(n) (((n) + THREADS - 1) / THREADS > 0 ? ((n) + THREADS - 1) / THREADS : 1)

#define AT_ONCE (TILE < 8 ? TILE : 8)
#define SOURCES (N_SOURCES > 0 ? N_SOURCES : 1)  // to divide by

// ---- pair functions ---------------------------------------------------------------------------------------

// Vectors of the pairs of a tile as (x, y, z, r), and their neighbours; what is missing to a whole tile is at
// the cutoff, where pair functions are zero.
__device__ static void load(const REAL* vectors, const int* second, int here, REAL* near, int* other) {
    RANGE(v, TILE) {
        const bool real = v < here;
        const REAL x = real ? vectors[3 * v] : (REAL)0, y = real ? vectors[3 * v + 1] : (REAL)0;
        const REAL z = real ? vectors[3 * v + 2] : (REAL)(CUTOFF);
        near[4 * v] = x;
        near[4 * v + 1] = y;
        near[4 * v + 2] = z;
        near[4 * v + 3] = sqrt(x * x + y * y + z * z);
        other[v] = second[real ? v : 0];
    }
}

// Radial functions (TILE, n_wavelets) of a tile and, if wanted, their derivatives over r, over r.
__device__ static void radial(
    const int* tables, const REAL* numbers, int here, int n_wavelets, const REAL* near, REAL* rho, REAL* slope
) {
    RANGE(item, here * n_wavelets) {
        const int v = item / n_wavelets, w = item % n_wavelets;
        const REAL r = near[4 * v + 3], inverse = numbers[inverse_beta2_ + w], s = r * r * inverse;
        REAL fading, e = exp((REAL)-0.5 * s);
        const REAL fade = e * switched((r - (REAL)(CUTOFF - SWITCH)) * (REAL)(1.0 / (SWITCH)), &fading);
        const REAL* c = numbers + polynomial_ + w * N_POLYNOMIAL;
        REAL value = c[N_POLYNOMIAL - 1], rise = 0;
        for (int k = N_POLYNOMIAL - 2; k >= 0; --k) {
            rise = rise * s + value;
            value = value * s + c[k];
        }
        rho[item] = fade * value;
        if (slope)
            slope[item] = fade * (2 * rise - value) * inverse + e * (REAL)(1.0 / (SWITCH)) * fading / r * value;
    }
}

// Solid harmonics (TILE, (l_max + 1)²) of a tile; an item is a pair and an order m.
__device__ static void harmonics(const REAL* numbers, int here, int l_max, const REAL* near, REAL* values) {
    const int size = (l_max + 1) * (l_max + 1);
    RANGE(item, here * (l_max + 1)) {
        const int v = item / (l_max + 1), m = item % (l_max + 1);
        const REAL x = near[4 * v], y = near[4 * v + 1], z = near[4 * v + 2], rr = square(near[4 * v + 3]);
        const Turn<REAL> turn(x, y, m);
        Legendre<REAL> legendre(z, rr, m, turn.factorial);
        for (int l = m; l <= l_max; ++l, legendre.advance()) {
            const REAL f = numbers[prefactor_ + l * (L_MAX + 1) + m] * legendre.q;
            REAL* here_l = values + v * size + l * l + l;
            here_l[m] = f * turn.c;
            if (m > 0) here_l[-m] = f * turn.s;
        }
    }
}

// Σ_lm weight_lm ∇Y_lm of order |m| at pair v, three numbers. weight: ((L_MAX + 1)²,).
__device__ static void pull_of_order(const REAL* numbers, int m, const REAL* near, const REAL* weight, REAL* pull) {
    const REAL x = near[0], y = near[1], z = near[2], rr = square(near[3]);
    const Turn<REAL> turn(x, y, m);
    Legendre<REAL> legendre(z, rr, m, turn.factorial);
    REAL px = 0, py = 0, pz = 0;
    for (int l = m; l <= L_MAX; ++l, legendre.advance()) {
        const REAL f = numbers[prefactor_ + l * (L_MAX + 1) + m];
        const REAL up = weight[l * l + l + m], down = m > 0 ? weight[l * l + l - m] : (REAL)0;
        const REAL along = f * (up * turn.c + down * turn.s);
        px -= x * along * legendre.side;
        py -= y * along * legendre.side;
        pz += (l + m) * along * legendre.below;
        const REAL around = f * m * legendre.q;  // 0 for m = 0
        px += around * (up * turn.c_before + down * turn.s_before);
        py += around * (down * turn.c_before - up * turn.s_before);
    }
    pull[0] = px;
    pull[1] = py;
    pull[2] = pz;
}

// ---- pass 0 ----------------------------------------------------------------------------------------------

// Of each pair the vector at which functions are taken (see sites_plan.clamp), and f/r and (f′ − f/r)/f².
extern "C" __global__ void __launch_bounds__(THREADS) hold(
    const int* tables, const REAL* numbers, const long long* first, const int* counts, const REAL* vectors,
    const int* second, const int* kind, REAL* held, REAL* bends
) {
    const long long i = blockIdx.x;
    RANGE(v, counts[i]) {
        const long long p = first[i] + v;
        const REAL x = vectors[3 * p], y = vectors[3 * p + 1], z = vectors[3 * p + 2];
        const REAL r = sqrt(x * x + y * y + z * z), begin = numbers[closest_ + kind[i] * N_ELEMENTS + kind[second[p]]];
        REAL scale = 1, bend = 0;
        if (r < begin) {
            const REAL t = max((REAL)0, (r - begin) / ((REAL)(HELD) * begin) + 1);
            const REAL f = begin - (REAL)(HELD) * begin * ((REAL)0.5 - t * t * t + (REAL)0.5 * t * t * t * t);
            scale = f / r;
            bend = (t * t * (3 - 2 * t) - scale) / (f * f);
        }
        held[3 * p] = scale * x;
        held[3 * p + 1] = scale * y;
        held[3 * p + 2] = scale * z;
        bends[2 * p] = scale;
        bends[2 * p + 1] = bend;
    }
}

// ---- pass 1 -----------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(THREADS) fields(
    const int* tables, const REAL* numbers, const long long* first, const int* counts, const REAL* vectors,
    const int* second, const int* kind, REAL* a, REAL* g
) {
    extern __shared__ REAL pool[];
    REAL* near = pool;
    REAL* rho = near + 4 * TILE;
    REAL* y = rho + TILE * N_WAVELETS;
    REAL* charge = y + TILE * N_HARMONICS;
    REAL* field = charge + TILE * N_CHANNELS;
    int* other = (int*)(field + N_A);
    const long long i = blockIdx.x, begin = first[i];
    const int n = counts[i];
    REAL sum[ROUNDS(N_A)];
    for (int k = 0; k < ROUNDS(N_A); ++k) sum[k] = 0;
    for (int start = 0; start < n; start += TILE) {
        const int here = min(TILE, n - start);
        load(vectors + 3 * (begin + start), second + begin + start, here, near, other);
        __syncthreads();
        radial(tables, numbers, here, N_WAVELETS, near, rho, nullptr);
        harmonics(numbers, here, L_MAX, near, y);
        RANGE(item, here * N_CHANNELS)
            charge[item] = numbers[charges_ + item % N_CHANNELS * N_ELEMENTS + kind[other[item / N_CHANNELS]]];
        __syncthreads();
        for (int k = 0; k < ROUNDS(N_A); ++k) {
            const int e = threadIdx.x + k * THREADS;
            if (e >= N_A) break;
            const REAL* q = charge + tables[a_channel_ + e];
            const REAL* radial_part = rho + tables[a_wavelet_ + e];
            const REAL* angular_part = y + tables[a_harmonic_ + e];
            REAL total = sum[k];
            for (int v = 0; v < here; ++v)
                total += q[v * N_CHANNELS] * radial_part[v * N_WAVELETS] * angular_part[v * N_HARMONICS];
            sum[k] = total;
        }
    }
    for (int k = 0; k < ROUNDS(N_A); ++k) {
        const int e = threadIdx.x + k * THREADS;
        if (e < N_A) a[i * N_A + e] = field[e] = sum[k] * numbers[a_scale_ + e];
    }
    __syncthreads();
    RANGE(s, N_SOURCES) {
        const int f = tables[source_field_ + s], at = tables[field_first_ + f], end = tables[field_first_ + f + 1];
        REAL total = 0, slope;
        for (int e = at; e < end; ++e) total += square(field[e]);
        g[i * N_SOURCES + s] = modulus(total, (REAL)1, (REAL)(EPSILON), &slope);
    }
}

// ---- pass 2 -----------------------------------------------------------------------------------------------

// Moduli of fields: their energy, and 2 ∂E/∂U² of each. bounds: of each field's entries; which: field of each
// modulus; begin: its terms; exponents and weights: of the terms.
__device__ static double moduli(
    const int* bounds, const int* which, const int* begin, const REAL* exponents, const REAL* weights, int n,
    const REAL* field, REAL* slopes
) {
    double energy = 0;
    RANGE(k, n) {
        REAL u = 0, slope = 0, rise;
        for (int e = bounds[which[k]]; e < bounds[which[k] + 1]; ++e) u += square(field[e]);
        for (int t = begin[k]; t < begin[k + 1]; ++t) {
            energy += (double)(weights[t] * modulus(u, exponents[t], (REAL)(EPSILON), &rise));
            slope += weights[t] * rise;
        }
        slopes[k] = 2 * slope;
    }
    return energy;
}

// Σ of what entry m of a field is multiplied with in products. links: pairs (entry of the other field, term).
__device__ static REAL partners(const int* links, int begin, int end, const REAL* weights, const REAL* other, int m) {
    REAL total = 0;
    for (int k = begin; k < end; ++k) total += weights[links[2 * k + 1]] * other[links[2 * k] + m];
    return total;
}

#if N_SPHERE > 0
// Products of three fields, integrated over directions (one per thread): adds to gradient. sphere, back:
// (N_SPHERE, N_DIRECTIONS + 1) work space.
__device__ static double triples(
    const int* tables, const REAL* numbers, const REAL* weights, const REAL* field, REAL* gradient, REAL* sphere,
    REAL* back
) {
    const int stride = N_DIRECTIONS + 1;
    double energy = 0;
    RANGE(d, N_DIRECTIONS) {
        for (int f = 0; f < N_SPHERE; ++f) {
            const int at = tables[sphere_ + 3 * f], size = tables[sphere_ + 3 * f + 1];
            const REAL* y = numbers + directions_ + tables[sphere_ + 3 * f + 2] * N_DIRECTIONS + d;
            REAL total = 0;
            for (int m = 0; m < size; ++m) total += field[at + m] * y[m * N_DIRECTIONS];
            sphere[f * stride + d] = total;
            back[f * stride + d] = 0;
        }
        const REAL area = numbers[areas_ + d];
        REAL total = 0;
        // Those with the same first two fields stand together.
        for (int group = 0; group < N_GROUPS; ++group) {
            const int* ends = tables + group_ + 3 * group;
            const int one = ends[0] * stride + d, two = ends[1] * stride + d;
            const REAL product = sphere[one] * sphere[two];
            REAL third = 0;
            for (int t = ends[2]; t < ends[5]; ++t) {
                const int three = tables[third_ + t] * stride + d;
                third += weights[t] * sphere[three];
                back[three] += weights[t] * product * area;
            }
            total += product * third;
            third *= area;
            const REAL first_one = sphere[one];
            back[one] += sphere[two] * third;
            back[two] += first_one * third;
        }
        energy += (double)(area * total);
    }
    __syncthreads();
    RANGE(item, N_TURNED) {
        const int f = tables[turned_ + 2 * item], m = tables[turned_ + 2 * item + 1];
        const int harmonic = tables[sphere_ + 3 * f + 2] + m;
        REAL total = 0;
        for (int d = 0; d < N_DIRECTIONS; ++d)
            total += back[f * stride + d] * numbers[directions_of_ + d * N_TURNS + harmonic];
        gradient[tables[sphere_ + 3 * f] + m] += total;
    }
    return energy;
}

#endif

#if N_B > 0
// Sums over the pairs of an atom of a pair function of the second convolution times a number of the neighbour's,
// one for each entry of B: e = threadIdx.x + k·THREADS in sum[k]. rows: (N, stride), of which entry e takes the
// number columns[e], or e if there are no columns. work: shared memory, (TILE, 4 + wavelets + harmonics + N_OUTER)
// numbers and TILE integers.
__device__ __forceinline__ static void second_convolution(
    const int* tables, const REAL* numbers, const REAL* vectors, const int* second, int n, const REAL* rows,
    int stride, const int* columns, REAL* work, REAL* sum
) {
    const int n_harmonics = (L_OUTER + 1) * (L_OUTER + 1);
    REAL* near = work;
    REAL* rho = near + 4 * TILE;
    REAL* y = rho + TILE * N_OUTER_WAVELETS;
    REAL* phi = y + TILE * n_harmonics;
    int* other = (int*)(phi + TILE * N_OUTER);
    for (int k = 0; k < ROUNDS(N_B); ++k) sum[k] = 0;
    for (int start = 0; start < n; start += TILE) {
        const int here = min(TILE, n - start);
        __syncthreads();
        load(vectors + 3 * start, second + start, here, near, other);
        __syncthreads();
        radial(tables, numbers, here, N_OUTER_WAVELETS, near, rho, nullptr);
        harmonics(numbers, here, L_OUTER, near, y);
        __syncthreads();
        RANGE(item, here * N_OUTER) {
            const int v = item / N_OUTER, k = item % N_OUTER;
            phi[item] =
                rho[v * N_OUTER_WAVELETS + tables[outer_wavelet_ + k]] * y[v * n_harmonics + tables[outer_harmonic_ + k]];
        }
        __syncthreads();
        for (int k = 0; k < ROUNDS(N_B); ++k) {
            const int e = threadIdx.x + k * THREADS;
            if (e >= N_B) break;
            const REAL* from = rows + (columns ? columns[e] : e);
            const REAL* function = phi + tables[b_function_ + e];
            REAL total = sum[k];
            for (int v = 0; v < here; ++v) total += from[(long long)other[v] * stride] * function[v * N_OUTER];
            sum[k] = total;
        }
    }
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS) terms(
    const int* tables, const REAL* numbers, const REAL* all_weights, const long long* first, const int* counts,
    const REAL* vectors, const int* second, const int* kind, const REAL* a, const REAL* g, REAL* d_a, REAL* d_b,
    double* energies
) {
    extern __shared__ REAL pool[];
    REAL* field = pool;
    REAL* gradient = field + N_A;
    REAL* field2 = gradient + N_A;
    REAL* slopes = field2 + N_B;
    REAL* slopes2 = slopes + N_MODULI;
    [[maybe_unused]] REAL* work = slopes2 + N_MODULI2;
    const long long i = blockIdx.x;
    const REAL* weights = all_weights + kind[i] * N_WEIGHTS;
    RANGE(e, N_A) field[e] = a[i * N_A + e];
#if N_B > 0
    REAL sum[ROUNDS(N_B)];
    second_convolution(
        tables, numbers, vectors + 3 * first[i], second + first[i], counts[i], g, N_SOURCES, tables + b_source_, work, sum);
    for (int k = 0; k < ROUNDS(N_B); ++k) {
        const int e = threadIdx.x + k * THREADS;
        if (e < N_B) field2[e] = sum[k] * numbers[b_scale_ + e];
    }
#endif
    __syncthreads();
    double energy = moduli(
        tables + field_first_, tables + modulus_field_, tables + modulus_first_, numbers + exponent_, weights,
        N_MODULI, field, slopes);
    energy += moduli(
        tables + pair_first_, tables + modulus2_pair_, tables + modulus2_first_, numbers + exponent2_,
        weights + WEIGHTS_MODULUS2, N_MODULI2, field2, slopes2);
    __syncthreads();
    RANGE(e, N_A) {
        const int f = tables[a_field_ + e], m = e - tables[field_first_ + f], k = tables[field_modulus_ + f];
        const REAL product = partners(
            tables + cross_, tables[cross_first_ + f], tables[cross_first_ + f + 1], weights + WEIGHTS_CROSS, field, m);
        const REAL product2 = partners(
            tables + cross2_, tables[cross2_first_ + f], tables[cross2_first_ + f + 1], weights + WEIGHTS_CROSS2,
            field2, m);
        energy += (double)(field[e] * ((REAL)0.5 * product + product2));
        gradient[e] = (k < 0 ? (REAL)0 : slopes[k] * field[e]) + product + product2;
    }
    RANGE(e, N_B) {
        const int f = tables[b_pair_ + e], m = e - tables[pair_first_ + f], k = tables[pair_modulus_ + f];
        const REAL product = partners(
            tables + back_, tables[back_first_ + f], tables[back_first_ + f + 1], weights + WEIGHTS_CROSS2, field, m);
        d_b[i * N_B + e] = ((k < 0 ? (REAL)0 : slopes2[k] * field2[e]) + product) * numbers[b_scale_ + e];
    }
#if N_SPHERE > 0
    REAL* sphere = work;
    energy += triples(
        tables, numbers, weights + WEIGHTS_TRIPLE, field, gradient, sphere, sphere + N_SPHERE * (N_DIRECTIONS + 1));
    __syncthreads();
#endif
    RANGE(e, N_A) d_a[i * N_A + e] = gradient[e];
    __syncthreads();
    double* parts = (double*)pool;
    parts[threadIdx.x] = energy;
    sum_over_block(parts, 1);
    if (threadIdx.x == 0) energies[i] = parts[0];
}

// ---- pass 3 -----------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(THREADS) messages(
    const int* tables, const REAL* numbers, const long long* first, const int* counts, const REAL* vectors,
    const int* second, const REAL* a, const REAL* g, const REAL* d_b, REAL* d_a
) {
    extern __shared__ REAL pool[];
    REAL* part = pool;
    REAL* through = part + N_B;
    const long long i = blockIdx.x;
#if N_B > 0
    REAL sum[ROUNDS(N_B)];
    second_convolution(
        tables, numbers, vectors + 3 * first[i], second + first[i], counts[i], d_b, N_B, nullptr, through + N_SOURCES, sum);
    for (int k = 0; k < ROUNDS(N_B); ++k) {
        const int e = threadIdx.x + k * THREADS;
        if (e < N_B) part[e] = tables[b_odd_ + e] ? -sum[k] : sum[k];
    }
    __syncthreads();
    RANGE(s, N_SOURCES) {
        REAL total = 0;
        for (int e = tables[source_first_ + s]; e < tables[source_first_ + s + 1]; ++e) total += part[e];
        through[s] = total / (g[i * N_SOURCES + s] + (REAL)(EPSILON));
    }
    __syncthreads();
#endif
    RANGE(e, N_A) {
        const int s = tables[field_source_ + tables[a_field_ + e]];
        REAL total = d_a[i * N_A + e];
        if (s >= 0) total += a[i * N_A + e] * through[s];
        d_a[i * N_A + e] = total * numbers[a_scale_ + e];
    }
}

// ---- pass 4 -----------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(THREADS) forces(
    const int* tables, const REAL* numbers, const long long* first, const int* counts, const REAL* vectors,
    const int* second, const int* kind, const REAL* bends, const REAL* g, const REAL* d_a, const REAL* d_b,
    double* forces_out, double* virials
) {
    extern __shared__ REAL pool[];
    REAL* my_a = pool;
    REAL* my_b = my_a + N_A;
    REAL* my_g = my_b + N_B;
    REAL* my_charge = my_g + N_SOURCES;
    REAL* near = my_charge + N_CHANNELS;
    REAL* rho = near + 4 * TILE;
    REAL* slope = rho + TILE * N_WAVELETS;
    REAL* y = slope + TILE * N_WAVELETS;
    REAL* weight = y + TILE * N_HARMONICS;
    REAL* charge = weight + TILE * N_HARMONICS;
    REAL* sent = charge + TILE * N_CHANNELS;
    REAL* pull = sent + TILE * N_SOURCES;
    int* other = (int*)(pull + TILE * (L_MAX + 1) * 3);
    const long long i = blockIdx.x, begin = first[i];
    const int n = counts[i];
    double force[3] = {0, 0, 0}, virial[9] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
    RANGE(e, N_A) my_a[e] = d_a[i * N_A + e];
    RANGE(e, N_B) my_b[e] = d_b[i * N_B + e];
    RANGE(s, N_SOURCES) my_g[s] = g[i * N_SOURCES + s];
    RANGE(c, N_CHANNELS) my_charge[c] = numbers[charges_ + c * N_ELEMENTS + kind[i]];
    for (int start = 0; start < n; start += TILE) {
        const int here = min(TILE, n - start);
        __syncthreads();
        load(vectors + 3 * (begin + start), second + begin + start, here, near, other);
        __syncthreads();
        radial(tables, numbers, TILE, N_WAVELETS, near, rho, slope);
        harmonics(numbers, TILE, L_MAX, near, y);
        RANGE(item, TILE * N_CHANNELS)
            charge[item] = numbers[charges_ + item % N_CHANNELS * N_ELEMENTS + kind[other[item / N_CHANNELS]]];
        RANGE(item, TILE * N_SOURCES)
            sent[item] = g[(long long)other[item / SOURCES] * N_SOURCES + item % SOURCES];
        __syncthreads();
        // What each harmonic of each pair is multiplied with, seen from both ends: with ρ it turns with the
        // harmonic's gradient, with ρ's slope it pulls along the pair (in the harmonic's place, after this).
        // An item is a harmonic and AT_ONCE pairs, for which tables are looked up once.
        RANGE(item, N_HARMONICS * ((here + AT_ONCE - 1) / AT_ONCE)) {
            const int h = item % N_HARMONICS, v = item / N_HARMONICS * AT_ONCE;
            const REAL sign = tables[odd_ + h] ? -1 : 1;
            REAL turning[AT_ONCE], stretching[AT_ONCE];
            for (int u = 0; u < AT_ONCE; ++u) turning[u] = stretching[u] = 0;
            for (int k = tables[a_of_first_ + h]; k < tables[a_of_first_ + h + 1]; ++k) {
                const int e = tables[a_of_ + k], c = tables[a_channel_ + e], w = tables[a_wavelet_ + e];
                const REAL mine = my_a[e], own = sign * my_charge[c];
                for (int u = 0; u < AT_ONCE; ++u) {
                    const REAL both = charge[(v + u) * N_CHANNELS + c] * mine + own * d_a[(long long)other[v + u] * N_A + e];
                    turning[u] += both * rho[(v + u) * N_WAVELETS + w];
                    stretching[u] += both * slope[(v + u) * N_WAVELETS + w];
                }
            }
            for (int k = tables[b_of_first_ + h]; k < tables[b_of_first_ + h + 1]; ++k) {
                const int e = tables[b_of_ + k], s = tables[b_source_ + e], w = tables[b_wavelet_ + e];
                const REAL mine = my_b[e], own = sign * my_g[s];
                for (int u = 0; u < AT_ONCE; ++u) {
                    const REAL both = sent[(v + u) * N_SOURCES + s] * mine + own * d_b[(long long)other[v + u] * N_B + e];
                    turning[u] += both * rho[(v + u) * N_WAVELETS + w];
                    stretching[u] += both * slope[(v + u) * N_WAVELETS + w];
                }
            }
            for (int u = 0; u < AT_ONCE; ++u) {
                weight[(v + u) * N_HARMONICS + h] = turning[u];
                y[(v + u) * N_HARMONICS + h] *= stretching[u];
            }
        }
        __syncthreads();
        RANGE(item, here * (L_MAX + 1)) {
            const int v = item / (L_MAX + 1), m = item % (L_MAX + 1);
            pull_of_order(numbers, m, near + 4 * v, weight + v * N_HARMONICS, pull + 3 * item);
        }
        __syncthreads();
        RANGE(v, here) {
            REAL along = 0;
            for (int h = 0; h < N_HARMONICS; ++h) along += y[v * N_HARMONICS + h];
            double f[3];
            for (int x = 0; x < 3; ++x) {
                REAL total = along * near[4 * v + x];
                for (int m = 0; m <= L_MAX; ++m) total += pull[3 * (v * (L_MAX + 1) + m) + x];
                f[x] = (double)total;
            }
            // From the place where functions are taken to that of the atom.
            const REAL* bent = bends + 2 * (begin + start + v);
            const double scale = bent[0];
            double d[3] = {near[4 * v], near[4 * v + 1], near[4 * v + 2]};
            const double bend = bent[1] * (d[0] * f[0] + d[1] * f[1] + d[2] * f[2]);
            for (int x = 0; x < 3; ++x) {
                f[x] = scale * f[x] + bend * d[x];
                d[x] /= scale;
                force[x] += f[x];
            }
            for (int k = 0; k < 9; ++k) virial[k] += 0.5 * d[k / 3] * f[k % 3];
        }
    }
    __syncthreads();
    double* parts = (double*)pool;
    if (threadIdx.x < TILE) {
        for (int k = 0; k < 3; ++k) parts[12 * threadIdx.x + k] = force[k];
        for (int k = 0; k < 9; ++k) parts[12 * threadIdx.x + 3 + k] = virial[k];
    }
    __syncthreads();
    if (threadIdx.x < 12) {
        double total = 0;
        for (int t = 0; t < TILE; ++t) total += parts[12 * t + threadIdx.x];
        if (threadIdx.x < 3)
            forces_out[3 * i + threadIdx.x] = total;
        else
            virials[9 * i + threadIdx.x - 3] = total;
    }
}
