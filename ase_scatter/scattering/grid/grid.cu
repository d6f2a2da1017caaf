// The grid transform on a device: all that happens between the FFTs.
//
// Fields of many paths lie side by side, each path's 2l+1 together; a table with one row of integers per
// path says where. Spectra are those of real n-D FFTs (half of the waves). A scale keeps only the waves
// inside its band, in the order of their places in the spectrum; `which` finds them among all waves of
// the box, which harmonics are tabulated at (those of a scaled vector differ by a factor). Every number is
// written by one thread, and sums are made in a fixed order, in double: the same input gives the same bits.

// Columns of the table of paths.
enum { SOURCE, RADIAL, DEGREE, TURNS, FIELD, SCALED, INNER, SLOT, SLOTS, WIDTH };
// SOURCE: row of the sources that it convolves. RADIAL: its radial function. DEGREE: l.
// TURNS: its phase is (-i)^TURNS. FIELD: its first field. SCALED: where the first of its adjoint fields
// goes. INNER: row of its modulus, or of what comes back through it, or -1. SLOT, SLOTS: its exponents.

struct alignas(2 * sizeof(REAL)) Complex { REAL re, im; };

// z times (-i)^turns
__device__ __forceinline__ Complex turned(Complex z, int turns) {
    switch (turns & 3) {
        case 1: return {z.im, -z.re};
        case 2: return {-z.re, -z.im};
        case 3: return {-z.im, z.re};
        default: return z;
    }
}

__device__ __forceinline__ Complex product(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

// ---- tables of a box ----------------------------------------------------------------------------------

// Solid harmonics r^l Y_lm of all waves, ((l_max+1)^2, n), and gradients ((l_max+1)^2, 3, n): one thread per
// wave and |m|. Recursions and norms (l_max+1, l_max+1) are those of harmonics.py; waves: (4, n).
extern "C" __global__ void harmonics(
    const double* __restrict__ waves, const double* __restrict__ norms, int l_max, int n,
    REAL* __restrict__ values, REAL* __restrict__ gradients) {
    const long long e = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (e >= (long long)(l_max + 1) * n) return;
    const int k = e / n, wave = e % n;
    const double x = waves[wave], y = waves[n + wave], z = waves[2LL * n + wave];
    const Turn<double> turn(x, y, k);
    Legendre<double> legendre(z, x * x + y * y + z * z, k, turn.factorial);
    for (int l = k; l <= l_max; ++l) {
        const double norm = norms[l * (l_max + 1) + k], up = norm * k * legendre.q;
        for (int sign = 1; sign >= (k ? -1 : 1); sign -= 2) {
            const long long lm = l * (l + 1) + sign * k;
            const double part = sign > 0 ? turn.c : turn.s, before = sign > 0 ? turn.c_before : turn.s_before;
            const double other = sign > 0 ? -turn.s_before : turn.c_before, side = norm * legendre.side * part;
            values[lm * n + wave] = norm * legendre.q * part;
            gradients[3 * lm * n + wave] = up * before - x * side;
            gradients[(3 * lm + 1) * n + wave] = up * other - y * side;
            gradients[(3 * lm + 2) * n + wave] = norm * (l + k) * legendre.below * part;
        }
        legendre.advance();
    }
}

// Radial functions of the (p, l) of a scale, (n_orders, n_waves): A and 2 dA/d(k^2) of
// psi = phase A(k^2) r^l Y_lm(k); formulas of wavelets.py. norms: K_pl (2 pi beta)^(3/2) beta^l.
extern "C" __global__ void radials(
    const double* __restrict__ waves, const int* __restrict__ which, const int* __restrict__ orders,
    const double* __restrict__ norms, int n_orders, int n_waves, int n, double beta, double band,
    REAL* __restrict__ values, REAL* __restrict__ slopes) {
    const long long e = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (e >= (long long)n_orders * n_waves) return;
    const int order = e / n_waves, wave = which[e % n_waves], p = orders[2 * order];
    const double x = waves[wave], y = waves[n + wave], z = waves[2LL * n + wave];
    const double s = beta * beta * (x * x + y * y + z * z), alpha = orders[2 * order + 1] + 0.5;
    // L_p^(alpha), and L_(p-1)^(alpha+1), which is minus its slope.
    double laguerre = 1, before = 0, slope = 0, slope_before = 0;
    for (int i = 0; i < p; ++i) {
        const double next = ((2 * i + 1 + alpha - s) * laguerre - (i + alpha) * before) / (i + 1);
        before = laguerre;
        laguerre = next;
        const double other = i ? ((2 * i + alpha - s) * slope - (i + alpha) * slope_before) / i : 1;
        slope_before = slope;
        slope = other;
    }
    double falling;
    const double window = switched(s / (band * band), &falling);
    const double envelope = norms[order] * exp(-0.5 * s), value = envelope * laguerre;
    values[e] = value * window;
    slopes[e] = 2 * beta * beta * ((envelope * -slope - 0.5 * value) * window + value * falling / (band * band));
}

// ---- structure factor ---------------------------------------------------------------------------------

// e^(-2 pi i n x_j) of all atoms for every n of the three axes; tables: (rows, 2) axis and n.
extern "C" __global__ void phases(
    const double* __restrict__ fractional, const int* __restrict__ tables, int n_rows, int n_atoms,
    REAL* __restrict__ factors) {
    const long long e = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (e >= (long long)n_rows * n_atoms) return;
    const int row = e / n_atoms, j = e % n_atoms;
    const double turns = tables[2 * row + 1] * fractional[3 * j + tables[2 * row]];
    const double angle = -6.283185307179586476925 * (turns - floor(turns));
    reinterpret_cast<Complex*>(factors)[e] = {(REAL)cos(angle), (REAL)sin(angle)};
}

// scale * sum_j q_cj e^(-i k R_j) over the atoms of each structure: rows of (structure, channel).
// rows: (3, n_all) where each wave's three factors are.
extern "C" __global__ void densities(
    const REAL* __restrict__ factors, const int* __restrict__ rows, const int* __restrict__ first,
    const REAL* __restrict__ charges, int n_atoms, int n_channels, int n_all, int tiles, double scale,
    REAL* __restrict__ sources) {
    const int row = blockIdx.x / tiles, k = blockIdx.x % tiles * THREADS + threadIdx.x;
    if (k >= n_all) return;
    const int structure = row / n_channels;
    const REAL* charge = charges + (long long)(row % n_channels) * n_atoms;
    const Complex* table = reinterpret_cast<const Complex*>(factors);
    const Complex* x = table + (long long)rows[k] * n_atoms;
    const Complex* y = table + (long long)rows[n_all + k] * n_atoms;
    const Complex* z = table + (long long)rows[2 * n_all + k] * n_atoms;
    double re = 0, im = 0;
    for (int j = first[structure]; j < first[structure + 1]; ++j) {
        const REAL q = charge[j];
        if (q == 0) continue;
        const Complex phase = product(product(x[j], y[j]), z[j]);
        re += q * phase.re;
        im += q * phase.im;
    }
    reinterpret_cast<Complex*>(sources)[(long long)row * n_all + k] = {(REAL)(re * scale), (REAL)(im * scale)};
}

// dE/dR of pairs of (head, atom), (parts, pairs, 3), times scale: each part sums some of the waves.
// pairs: (pairs, 4) first of the adjoint's rows, how many, channel of the first, atom.
// waves: (4, n_all) k and how often the wave counts.
extern "C" __global__ void gradient(
    const REAL* __restrict__ factors, const int* __restrict__ rows, const REAL* __restrict__ charges,
    const int* __restrict__ pairs, const REAL* __restrict__ adjoint, const REAL* __restrict__ waves,
    int n_pairs, int n_atoms, int n_all, int n_parts, double scale, double* __restrict__ partial) {
    const long long e = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (e >= (long long)n_pairs * n_parts) return;
    const int part = e / n_pairs;
    const int* pair = pairs + 4 * (e % n_pairs);
    const int j = pair[3];
    const Complex* table = reinterpret_cast<const Complex*>(factors) + j;
    const int stop = (long long)n_all * (part + 1) / n_parts;
    int row_x = -1, row_y = -1;
    Complex plane = {0, 0};
    double sum[3] = {0, 0, 0};
    for (int k = (long long)n_all * part / n_parts; k < stop; ++k) {
        // Waves that follow each other mostly differ in n_z alone.
        if (rows[k] != row_x || rows[n_all + k] != row_y) {
            row_x = rows[k];
            row_y = rows[n_all + k];
            plane = product(table[(long long)row_x * n_atoms], table[(long long)row_y * n_atoms]);
        }
        const Complex phase = product(plane, table[(long long)rows[2 * n_all + k] * n_atoms]);
        Complex back = {0, 0};
        for (int c = 0; c < pair[1]; ++c) {
            const REAL q = charges[(long long)(pair[2] + c) * n_atoms + j];
            const Complex a = reinterpret_cast<const Complex*>(adjoint)[(long long)(pair[0] + c) * n_all + k];
            back.re += q * a.re;
            back.im += q * a.im;
        }
        const REAL slope = (back.re * phase.im - back.im * phase.re) * waves[3 * n_all + k];
        for (int a = 0; a < 3; ++a) sum[a] += slope * waves[a * n_all + k];
    }
    for (int a = 0; a < 3; ++a) partial[3 * e + a] = sum[a] * scale;
}

// ---- fields -------------------------------------------------------------------------------------------

// Spectra of all fields of a path: source times radial function, phase and harmonics; zero outside the band.
extern "C" __global__ void convolve(
    const int* __restrict__ paths, const REAL* __restrict__ sources, int n_all,
    const int* __restrict__ wave_at, const int* __restrict__ which, const REAL* __restrict__ radial,
    const REAL* __restrict__ harmonics, int n_waves, int places, int tiles, REAL* __restrict__ spectra) {
    const int* path = paths + (long long)(blockIdx.x / tiles) * WIDTH;
    const int place = blockIdx.x % tiles * THREADS + threadIdx.x;
    if (place >= places) return;
    const int l = path[DEGREE], k = wave_at[place];
    Complex* out = reinterpret_cast<Complex*>(spectra) + (long long)path[FIELD] * places + place;
    if (k < 0) {
        for (int m = 0; m < 2 * l + 1; ++m) out[(long long)m * places] = {0, 0};
        return;
    }
    const int wave = which[k];
    Complex z = reinterpret_cast<const Complex*>(sources)[(long long)path[SOURCE] * n_all + wave];
    z = turned(z, path[TURNS]);
    const REAL value = radial[(long long)path[RADIAL] * n_waves + k];
    const REAL* harmonic = harmonics + (long long)l * l * n_all + wave;
    for (int m = 0; m < 2 * l + 1; ++m) {
        const REAL factor = value * harmonic[(long long)m * n_all];
        out[(long long)m * places] = {z.re * factor, z.im * factor};
    }
}

// Spectra that hold sources as they are: row r that of source rows[r].
extern "C" __global__ void synthesise(
    const int* __restrict__ rows, const REAL* __restrict__ sources, int n_all,
    const int* __restrict__ wave_at, const int* __restrict__ which, int places, int tiles,
    REAL* __restrict__ spectra) {
    const int row = blockIdx.x / tiles, place = blockIdx.x % tiles * THREADS + threadIdx.x;
    if (place >= places) return;
    const int k = wave_at[place];
    Complex z = {0, 0};
    if (k >= 0) z = reinterpret_cast<const Complex*>(sources)[(long long)rows[row] * n_all + which[k]];
    reinterpret_cast<Complex*>(spectra)[(long long)row * places + place] = z;
}

// The other way round: scale times the spectrum of row r, as source rows[r].
extern "C" __global__ void analyse(
    const int* __restrict__ rows, const REAL* __restrict__ spectra, int n_all,
    const int* __restrict__ place_of, const int* __restrict__ which, int n_waves, int places, int tiles,
    REAL scale, REAL* __restrict__ sources) {
    const int row = blockIdx.x / tiles, k = blockIdx.x % tiles * THREADS + threadIdx.x;
    if (k >= n_waves) return;
    const Complex z = reinterpret_cast<const Complex*>(spectra)[(long long)row * places + place_of[k]];
    Complex* out = reinterpret_cast<Complex*>(sources) + (long long)rows[row] * n_all + which[k];
    *out = {scale * z.re, scale * z.im};
}

// U^2 = sum_m f_m^2 / c at one point
__device__ __forceinline__ REAL squares(const REAL* f, int members, int n_points, REAL inverse_norm) {
    REAL sum = 0;
    for (int m = 0; m < members; ++m) {
        const REAL value = f[(long long)m * n_points];
        sum += value * value;
    }
    return sum * inverse_norm;
}

// g = (U^2 + eps^2)^(1/2) - eps of each path, as row INNER.
extern "C" __global__ void moduli(
    const int* __restrict__ paths, const double* __restrict__ inverse_norms, const REAL* __restrict__ fields,
    int n_points, int tiles, double epsilon2, REAL* __restrict__ inner) {
    const int row = blockIdx.x / tiles, u = blockIdx.x % tiles * THREADS + threadIdx.x;
    if (u >= n_points) return;
    const int* path = paths + (long long)row * WIDTH;
    const REAL* f = fields + (long long)path[FIELD] * n_points + u;
    const REAL square = squares(f, 2 * path[DEGREE] + 1, n_points, (REAL)inverse_norms[row]);
    REAL slope;
    inner[(long long)path[INNER] * n_points + u] = modulus(square, (REAL)1, (REAL)sqrt(epsilon2), &slope);
}

// Per path and exponent the sum of h_q(U^2) du; t = sum_q w_q dh_q/dU^2 du, plus what comes back through
// the modulus; per path the sum of 2 t U^2; and the adjoint fields 2 t f_m / c. If writes is 0, only the
// first are wanted, and nothing has come back.
// partial: (tiles, n_out): per path its exponents and the sum of 2 t U^2. The adjoint fields may be where
// the fields are: each thread reads its points before it writes them.
extern "C" __global__ void respond(
    const int* __restrict__ paths, const double* __restrict__ inverse_norms,
    const double* __restrict__ exponents, const double* __restrict__ weights, const REAL* fields,
    REAL* scaled, const REAL* __restrict__ inner, int n_points, int tiles, double epsilon2, double du,
    int writes, int n_out, double* __restrict__ partial) {
    extern __shared__ double sums[];
    const int row = blockIdx.x / tiles, tile = blockIdx.x % tiles;
    const int* path = paths + (long long)row * WIDTH;
    const int members = 2 * path[DEGREE] + 1, n_slots = path[SLOTS];
    const REAL inverse_norm = inverse_norms[row], epsilon = sqrt(epsilon2);
    const REAL* f = fields + (long long)path[FIELD] * n_points;
    REAL* out = scaled + (long long)path[SCALED] * n_points;
    double* mine = sums + threadIdx.x;
    for (int s = 0; s <= n_slots; ++s) mine[s * THREADS] = 0;
    for (int u = tile * THREADS + threadIdx.x; u < n_points; u += tiles * THREADS) {
        const REAL square = squares(f + u, members, n_points, inverse_norm);
        REAL t = 0;
        for (int s = 0; s < n_slots; ++s) {
            REAL slope;
            mine[s * THREADS] += modulus(square, (REAL)exponents[path[SLOT] + s], epsilon, &slope);
            t += (REAL)weights[path[SLOT] + s] * slope;
        }
        t *= (REAL)du;
        if (writes && path[INNER] >= 0) {
            REAL slope;
            modulus(square, (REAL)1, epsilon, &slope);
            t += inner[(long long)path[INNER] * n_points + u] * slope / (REAL)n_points;
        }
        mine[n_slots * THREADS] += 2.0 * t * square;
        if (writes) {
            const REAL factor = 2 * t * inverse_norm;
            for (int m = 0; m < members; ++m)
                out[(long long)m * n_points + u] = factor * f[(long long)m * n_points + u];
        }
    }
    sum_over_block(sums, n_slots + 1);
    if (threadIdx.x != 0) return;
    // Every path before this one has its exponents and one more.
    double* result = partial + (long long)tile * n_out + path[SLOT] + row;
    for (int s = 0; s < n_slots; ++s) result[s] = sums[s * THREADS] * du;
    result[n_slots] = sums[n_slots * THREADS];
}

// From the spectra of adjoint fields, added per target over its paths: what comes back to the source,
// sum_m conj(psi_m) w_m, and the flow, whose negative product with k is the strain gradient.
// back: (targets, n_all) complex. flow: (targets, 3, n_all). segments: (n + 1) first path of each target.
// A block does THREADS / GROUPS waves; its groups of threads share out the m of each path.
extern "C" __global__ void correlate(
    const int* __restrict__ paths, const int* __restrict__ segments, const int* __restrict__ targets,
    const REAL* __restrict__ sources, const REAL* __restrict__ waves, int n_all,
    const int* __restrict__ which, const int* __restrict__ place_of, const REAL* __restrict__ radial,
    const REAL* __restrict__ slopes, const REAL* __restrict__ harmonics,
    const REAL* __restrict__ gradients, int n_waves, int places, int tiles,
    const REAL* __restrict__ spectra, REAL* __restrict__ back, REAL* __restrict__ flow) {
    extern __shared__ double sums[];  // (5, THREADS)
    const int width = THREADS / GROUPS, group = threadIdx.x / width;
    const int segment = blockIdx.x / tiles, k = blockIdx.x % tiles * width + threadIdx.x % width;
    const bool inside = k < n_waves;
    const int wave = inside ? which[k] : 0;
    double* mine = sums + threadIdx.x;
    for (int s = 0; s < 5; ++s) mine[s * THREADS] = 0;
    if (inside) {
        const Complex* spectrum = reinterpret_cast<const Complex*>(spectra) + place_of[k];
        const REAL multiplicity = waves[3LL * n_all + wave];
        REAL vector[3];
        for (int a = 0; a < 3; ++a) vector[a] = waves[(long long)a * n_all + wave];
        for (int p = segments[segment]; p < segments[segment + 1]; ++p) {
            const int* path = paths + (long long)p * WIDTH;
            const int l = path[DEGREE];
            if (group > 2 * l) continue;
            const Complex source = turned(
                reinterpret_cast<const Complex*>(sources)[(long long)path[SOURCE] * n_all + wave], path[TURNS]);
            Complex image = {0, 0};
            REAL turning[3] = {0, 0, 0}, stretching = 0;
            for (int m = group; m < 2 * l + 1; m += GROUPS) {
                const long long lm = l * l + m;
                const Complex w = spectrum[(long long)(path[SCALED] + m) * places];
                const REAL harmonic = harmonics[lm * n_all + wave];
                const REAL overlap = source.re * w.re + source.im * w.im;
                image.re += harmonic * w.re;
                image.im += harmonic * w.im;
                stretching += harmonic * overlap;
                for (int a = 0; a < 3; ++a) turning[a] += gradients[(3 * lm + a) * n_all + wave] * overlap;
            }
            const REAL value = radial[(long long)path[RADIAL] * n_waves + k];
            const REAL slope = slopes[(long long)path[RADIAL] * n_waves + k];
            image = turned(image, -path[TURNS]);
            mine[0] += value * image.re;
            mine[THREADS] += value * image.im;
            for (int a = 0; a < 3; ++a)
                mine[(2 + a) * THREADS] +=
                    multiplicity * (value * turning[a] + slope * stretching * vector[a]);
        }
    }
    __syncthreads();
    if (group || !inside) return;
    for (int s = 0; s < 5; ++s)
        for (int g = 1; g < GROUPS; ++g) mine[s * THREADS] += mine[s * THREADS + g * width];
    const long long target = targets[segment];
    Complex* sum = reinterpret_cast<Complex*>(back) + target * n_all + wave;
    const Complex before = *sum;
    *sum = {(REAL)(before.re + mine[0]), (REAL)(before.im + mine[THREADS])};
    REAL* flows = flow + target * 3 * n_all + wave;
    for (int a = 0; a < 3; ++a) flows[(long long)a * n_all] += mine[(2 + a) * THREADS];
}

// ---- sums ---------------------------------------------------------------------------------------------

// -sum_k k_a flow_b per target, (parts, targets, 9): each part sums some of the waves.
extern "C" __global__ void strains(
    const REAL* __restrict__ flow, const REAL* __restrict__ waves, int n_targets, int n_all, int n_parts,
    double* __restrict__ partial) {
    extern __shared__ double sums[];
    const int target = blockIdx.x % n_targets, part = blockIdx.x / n_targets;
    const REAL* along = flow + (long long)target * 3 * n_all;
    const int stop = (long long)n_all * (part + 1) / n_parts;
    double sum[9] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
    for (int k = (long long)n_all * part / n_parts + threadIdx.x; k < stop; k += THREADS)
        for (int a = 0; a < 3; ++a)
            for (int b = 0; b < 3; ++b)
                sum[3 * a + b] -= (double)waves[a * n_all + k] * along[(long long)b * n_all + k];
    double* mine = sums + threadIdx.x;
    for (int s = 0; s < 9; ++s) mine[s * THREADS] = sum[s];
    sum_over_block(sums, 9);
    if (threadIdx.x < 9) partial[9LL * blockIdx.x + threadIdx.x] = sums[threadIdx.x * THREADS];
}

// Sums over the first axis of (parts, n), in order.
extern "C" __global__ void totals(
    const double* __restrict__ partial, int n_parts, int n, double* __restrict__ out) {
    const int e = blockIdx.x * THREADS + threadIdx.x;
    if (e >= n) return;
    double sum = 0;
#pragma unroll 16  // loads do not wait for each other
    for (int part = 0; part < n_parts; ++part) sum += partial[(long long)part * n + e];
    out[e] = sum;
}
