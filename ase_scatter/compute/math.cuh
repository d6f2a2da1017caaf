// Formulas that several kernels need; each stands once. T: double or float.

template <typename T> __device__ __forceinline__ T square(T x) { return x * x; }

// 1 - 10t^3 + 15t^4 - 6t^5 for t in [0, 1], and its derivative. The root at 1 is factored out, so that
// nothing cancels where the switch ends; t outside is moved to the nearer end.
template <typename T> __device__ __forceinline__ T switched(T t, T* slope) {
    t = min((T)1, max((T)0, t));
    const T rest = 1 - t;
    *slope = -30 * square(t * rest);
    return rest * rest * rest * (1 + 3 * t + 6 * t * t);
}

// h_q(U^2) = (U^2 + epsilon^2)^(q/2) - epsilon^q, and its derivative with respect to U^2 = u.
template <typename T> __device__ __forceinline__ T modulus(T u, T q, T epsilon, T* slope) {
    const T x = u + square(epsilon), root = sqrt(x);
    if (q == 2) {
        *slope = 1;
        return u;
    }
    if (q == 1) {
        *slope = (T)0.5 / root;
        return u / (root + epsilon);  // nothing cancels
    }
    if (q == (T)1.5) {
        const T fourth = sqrt(root);
        *slope = (T)0.75 / fourth;
        return root * fourth - epsilon * sqrt(epsilon);
    }
    const T power = pow(x, (T)0.5 * q - 1);
    *slope = (T)0.5 * q * power;
    return power * x - pow(epsilon, q);
}

// (x + iy)^m as c + is, the power before it, and (2m - 1)!!
template <typename T> struct Turn {
    T c = 1, s = 0, c_before = 0, s_before = 0, factorial = 1;

    __device__ __forceinline__ Turn(T x, T y, int m) {
        for (int k = 1; k <= m; ++k) {
            c_before = c;
            s_before = s;
            c = x * c_before - y * s_before;
            s = x * s_before + y * c_before;
            factorial *= 2 * k - 1;
        }
    }
};

// The part Q_l^m of solid harmonics that depends on z and r^2 (see harmonics.py), from l = m upwards:
//
//     Y_l,m = N_lm Q_l^m c_m,   Y_l,-m = N_lm Q_l^m s_m,
//     grad Q_l^m = (-x Q_(l-1)^(m+1), -y Q_(l-1)^(m+1), (l + m) Q_(l-1)^m).
//
// q: Q_l^m. below: Q_(l-1)^m. side: Q_(l-1)^(m+1).
template <typename T> struct Legendre {
    int l, m;
    T z, rr, start, q, below = 0, side = 0, side_below = 0;

    // factorial: (2m - 1)!!
    __device__ __forceinline__ Legendre(T z, T rr, int m, T factorial)
        : l(m), m(m), z(z), rr(rr), start(factorial * (2 * m + 1)), q(factorial) {}

    // To the next l.
    __device__ __forceinline__ void advance() {
        const T next = ((2 * l + 1) * z * q - (l + m) * rr * below) / (l + 1 - m);
        // The other chain is one l behind, and begins with Q_(m+1)^(m+1).
        T side_next = 0;
        if (l == m + 1) side_next = start;
        if (l > m + 1) side_next = ((2 * l - 1) * z * side - (l + m) * rr * side_below) / (l - m - 1);
        below = q;
        q = next;
        side_below = side;
        side = side_next;
        ++l;
    }
};

// Sums over the threads of a block, in a fixed order: of each row of sums (n, THREADS), in its first place.
// Each thread has written its own column; the sums are there for all threads afterwards.
__device__ inline void sum_over_block(double* sums, int n) {
    for (int step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step)
            for (int s = 0; s < n; ++s) sums[s * THREADS + threadIdx.x] += sums[s * THREADS + threadIdx.x + step];
    }
    __syncthreads();
}
