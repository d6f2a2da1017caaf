// The passes over atoms: fields, terms with their derivatives, and the adjoint of the convolution.
//
// They are those of ase_scatter/scattering/sites. The caller finds neighbours, keeps what atoms have between
// the passes, and hands g forward and ∂E/∂g back between atoms:
//
//     1. fields    A of an atom, and g of the fields that are convolved again;
//     2. terms     the atom's energy; ∂E/∂A; ∂E/∂g of its neighbours; forces of pairs from order 2;
//     3. adjoint   completes ∂E/∂A from ∂E/∂g of the atom, and gives the forces of pairs.
//
// Vectors run over neighbours, which stand in order of their elements, over the sources of order 2, or over
// directions.

#ifndef ASE_SCATTER_KERNELS_HPP
#define ASE_SCATTER_KERNELS_HPP

#include <algorithm>

#include "potential.hpp"

namespace ase_scatter {

// A neighbour so near that the repulsion may act.
struct Close {
  int index, kind;
  double x, y, z, square;
};

// The neighbours of an atom within the cutoff.
class Near {
 public:
  std::vector<Close> close;
  std::vector<int> index;    // of each lane, −1 for none
  std::vector<int> begin;    // first block of each element
  std::vector<Vec> x, y, z, r, scale, bend;
  int n_blocks = 0;

  explicit Near(const Potential &potential) : p(potential), counts(p.n_kinds), square(p.cutoff * p.cutoff)
  {
    const double core = p.core_cutoff > p.most_shortest ? p.core_cutoff : p.most_shortest;
    square_close = core * core;
  }

  void clear()
  {
    raw.clear();
    close.clear();
    std::fill(counts.begin(), counts.end(), 0);
  }

  void add(int number, int kind, double dx, double dy, double dz)
  {
    const double s = dx * dx + dy * dy + dz * dz;
    if (s < square) {
      raw.push_back({number, kind, dx, dy, dz, s});
      ++counts[kind];
    }
    if (s < square_close) close.push_back({number, kind, dx, dy, dz, s});
  }

  // Puts them in order, and finds where their functions are taken.
  void arrange(int kind)
  {
    begin.assign(p.n_kinds + 1, 0);
    for (int k = 0; k < p.n_kinds; ++k) begin[k + 1] = begin[k] + blocks_of(counts[k]);
    n_blocks = begin[p.n_kinds];
    const Vec none{}, one = none + 1.0;
    x.assign(n_blocks, none);
    y.assign(n_blocks, none);
    z.assign(n_blocks, none);
    r.assign(n_blocks, none + p.cutoff);
    scale.assign(n_blocks, one);
    bend.assign(n_blocks, none);
    index.assign(n_blocks * W, -1);
    for (int k = 0; k < p.n_kinds; ++k) counts[k] = begin[k] * W;
    for (const Close &n : raw) {
      const int v = counts[n.kind]++, b = v / W, lane = v % W;
      const double distance = std::sqrt(n.square), closest = p.closest[kind * p.n_kinds + n.kind];
      index[v] = n.index;
      double f = distance, ratio = 1.0;
      if (distance < closest) {
        const double t = std::max(0.0, (distance - closest) / (p.held * closest) + 1.0);
        f = closest - p.held * closest * (0.5 - t * t * t + 0.5 * t * t * t * t);
        ratio = f / distance;
        scale[b][lane] = ratio;
        bend[b][lane] = (t * t * (3.0 - 2.0 * t) - ratio) / (f * f);
      }
      x[b][lane] = ratio * n.x;
      y[b][lane] = ratio * n.y;
      z[b][lane] = ratio * n.z;
      r[b][lane] = f;
    }
  }

 private:
  const Potential &p;
  std::vector<Close> raw;
  std::vector<int> counts;
  double square, square_close;
};

class Kernels {
 public:
  // ∂E/∂r of each block of neighbours, from the last pass.
  std::vector<Vec> pull_x, pull_y, pull_z;

  explicit Kernels(const Potential &potential) :
      p(potential), sources(p.source_blocks), full(p.l_max), inner(p.outer_l), h(full.size), s_(p.n_scales),
      e_(p.n_scales), f_(p.n_scales), da(p.n_fields), d_kind(p.stride),
      squares(blocks_of((int) p.moduli.size()) + 1), slopes(squares.size()), weight((p.l_max + 1) * (p.l_max + 1)),
      rho1(p.n_wavelets), slope1(p.n_wavelets)
  {
    for (int l = 0; l <= p.l_max; ++l)
      for (int m = 0; m <= l; ++m) {
        one.push_back(l > m ? (2.0 * l - 1.0) / (l - m) : 0.0);
        two.push_back(l > m ? (l + m - 1.0) / (l - m) : 0.0);
      }
    for (int w = 0; w < p.n_wavelets; ++w) all.push_back(w);
    int n_rows = 0;
    for (std::size_t f = 0; f < p.sphere.size(); ++f)
      n_rows = std::max(n_rows, p.sphere_row[f] + p.sphere_size[f]);
    n_harmonics = p.direction_blocks ? (int) p.directions.size() / p.direction_blocks : 0;
    sphere.resize(p.sphere.size());
    d_sphere.resize(p.sphere.size() * p.direction_blocks);
  }

  // Pass 1: a (n_fields) takes A, g (n_sources) the moduli that are convolved again.
  void fields(const Near &near, double *a, double *g)
  {
    const int n = near.n_blocks, nw = p.n_wavelets;
    rho.resize(n * nw);
    y.resize(n * full.size);
    for (int b = 0; b < n; ++b) {
      radial(near.r[b], all, &rho[b * nw], nullptr);
      harmonics(full, near.x[b], near.y[b], near.z[b], near.r[b], &y[b * full.size]);
    }
    std::fill(a, a + p.n_fields, 0.0);
    for (int kind = 0; kind < p.n_kinds; ++kind) {
      const int b0 = near.begin[kind], count = near.begin[kind + 1] - b0;
      if (!count) continue;
      for (int w = 0; w < nw; ++w) {
        bool used = false;
        for (int c = 0; c < p.n_channels; ++c) used |= factor(c, kind, w) != 0.0;
        if (!used) continue;
        const int l = p.degree[w], size = 2 * l + 1;
        for (int m = 0; m < size; m += W) {
          const Vec found = dots_of(std::min(W, size - m), &rho[b0 * nw + w], nw,
                                    &y[b0 * full.size + l * l + m], full.size, count);
          for (int c = 0; c < p.n_channels; ++c) {
            const double q = factor(c, kind, w);
            if (q == 0.0) continue;
            double *to = a + p.at(c, w) + m;
            store(to, load(to) + q * found);
          }
        }
      }
    }
    for (int s = 0; s < p.n_sources; ++s)
      g[s] = std::sqrt(p.epsilon2 + square(a + p.source[s], p.source_blocks_of[s])) - p.epsilon;
  }

  // Pass 2: the energy. `a` holds A and takes ∂E/∂A without what comes through g; `kept` takes A of the
  // sources; `g` holds the moduli of all atoms, `dg` is added ∂E/∂g of the neighbours, and `moment`, if
  // it is given, the vectors of the pairs times it (x, y, z one after the other). The numbers of one atom
  // stand n_sources (of moments three times as many) apart. `values`, if given, takes each term.
  double terms(const Near &near, const Readout &readout, double *a, double *kept, const double *g, double *dg,
               double *moment = nullptr, double *values = nullptr)
  {
    double energy = readout.e0;
    std::fill(da.begin(), da.end(), 0.0);
    energy += moduli(readout, a);
    for (const Cross &term : readout.cross) {
      Vec total{};
      for (int b = 0; b < term.blocks; ++b) {
        const int i = term.one + b * W, j = term.two + b * W;
        const Vec u = load(a + i), v = load(a + j);
        total += u * v;
        store(&da[i], load(&da[i]) + term.weight * v);
        store(&da[j], load(&da[j]) + term.weight * u);
      }
      energy += term.weight * sum(total);
    }
    energy += triples(readout, a);
    for (int s = 0; s < p.n_sources; ++s)
      std::copy_n(a + p.source[s], W * p.source_blocks_of[s], kept + p.kept_at[s]);
    pull_x.assign(near.n_blocks, Vec{});
    pull_y.assign(near.n_blocks, Vec{});
    pull_z.assign(near.n_blocks, Vec{});
    if (p.n_sources > 0) energy += order2(near, readout, a, g, dg, moment);
    if (values) single_terms(a, values);
    std::copy(da.begin(), da.end(), a);
    return energy;
  }

  // Adds to ∂E/∂A of an atom what comes through its g; `dg` is the sum over all neighbours.
  void complete(double *a, const double *g, const double *dg, const double *kept) const
  {
    for (int s = 0; s < p.n_sources; ++s) {
      const double t = dg[s] / (g[s] + p.epsilon);
      for (int m = 0; m < W * p.source_blocks_of[s]; ++m) a[p.source[s] + m] += t * kept[p.kept_at[s] + m];
    }
  }

  // Pass 3: forces of pairs from ∂E/∂A.
  void adjoint(const Near &near, const double *a)
  {
    pull_x.resize(near.n_blocks);
    pull_y.resize(near.n_blocks);
    pull_z.resize(near.n_blocks);
    for (int kind = 0; kind < p.n_kinds; ++kind) {
      const int b0 = near.begin[kind], b1 = near.begin[kind + 1];
      if (b0 == b1) continue;
      for (int w = 0; w < p.n_wavelets; ++w) {
        double *to = &d_kind[p.place[w]];
        const int size = padded(2 * p.degree[w] + 1);
        std::fill_n(to, size, 0.0);
        for (int c = 0; c < p.n_channels; ++c) {
          const double q = factor(c, kind, w);
          if (q == 0.0) continue;
          const double *from = a + p.at(c, w);
          for (int m = 0; m < size; m += W) store(to + m, load(to + m) + q * load(from + m));
        }
      }
      for (int b = b0; b < b1; ++b) {
        radial(near.r[b], all, rho1.data(), slope1.data());
        harmonics(full, near.x[b], near.y[b], near.z[b], near.r[b], h.data());
        Vec along{};
        for (int l = 0; l <= p.l_max; ++l) {
          Vec *const to = &weight[l * l];
          const Vec *const here = &h[l * l];
          switch (l) {
            case 0: collect<1>(l, here, to, along); break;
            case 1: collect<3>(l, here, to, along); break;
            case 2: collect<5>(l, here, to, along); break;
            case 3: collect<7>(l, here, to, along); break;
            case 4: collect<9>(l, here, to, along); break;
            case 5: collect<11>(l, here, to, along); break;
            case 6: collect<13>(l, here, to, along); break;
            default: collect_any(l, here, to, along);
          }
        }
        pull(full, near, b, h.data(), along);
      }
    }
  }

  // Half of the repulsion between an atom and a near one, and its derivative with respect to r over r.
  double repulsion(int kind, const Close &n, double &slope) const
  {
    const int pair = kind * p.n_kinds + n.kind;
    const double r = std::sqrt(n.square), inner_ = p.core_inner[pair], outer_ = p.core_outer[pair];
    slope = 0.0;
    if (r >= outer_) return 0.0;
    if (r < 1e-6) throw std::runtime_error("two atoms are at the same place");
    double phi = 0.0, d_phi = 0.0;
    for (std::size_t k = 0; k < p.screening.size(); ++k) {
      const double decay = p.decays[k] * p.core_screening[pair];
      const double term = p.screening[k] * std::exp(-decay * r);
      phi += term;
      d_phi += decay * term;
    }
    const double coulomb = p.core_charge[pair] / r, value = coulomb * phi;
    const double d_value = -coulomb * (phi / r + d_phi);
    const double t = std::max(0.0, (r - inner_) / (outer_ - inner_)), rest = 1.0 - t;
    const double switched = rest * rest * rest * (1.0 + 3.0 * t + 6.0 * t * t);
    const double fading = -30.0 * t * t * rest * rest / (outer_ - inner_);
    slope = 0.5 * (d_value * switched + value * fading) / r;
    return 0.5 * value * switched;
  }

  // Extrapolation grade of an atom from the values of its terms.
  double grade(const Near &near, int kind, const double *values)
  {
    const Region &region = p.regions[kind];
    const int n = (int) region.terms.size(), n_axes = (int) region.lengths.size();
    std::vector<double> x(n);
    double all_ = 0.0, along_ = 0.0, total = 0.0;
    for (int k = 0; k < n; ++k) {
      x[k] = (values[region.terms[k]] - region.mean[k]) / region.scale[k];
      all_ += x[k] * x[k];
    }
    for (int axis = 0; axis < n_axes; ++axis) {
      double projected = 0.0;
      for (int k = 0; k < n; ++k) projected += region.axes[axis * n + k] * x[k];
      along_ += projected * projected;
      total += projected * projected / (region.lengths[axis] * region.lengths[axis]);
    }
    total += std::max(0.0, all_ - along_) / (region.rest * region.rest);
    double found = std::sqrt(total) / region.edge;
    for (const Close &n : near.close) {
      const double ratio = p.shortest[kind * p.n_kinds + n.kind] / std::sqrt(n.square);
      if (ratio > 1.0) found = std::max(found, ratio);
    }
    return found;
  }

 private:
  // Where harmonics up to a degree, and what their gradients need, stand for one block.
  struct Harmonics {
    int l_max, q, c, s, size;
    explicit Harmonics(int l) :
        l_max(l), q((l + 1) * (l + 1)), c(q + (l + 1) * (l + 1)), s(c + l + 1), size(s + l + 1)
    {
    }
  };

  const Potential &p;
  const int sources;
  const Harmonics full, inner;
  std::vector<Vec> h, s_, e_, f_;
  std::vector<double> da, d_kind;
  std::vector<Vec> squares, slopes, weight, rho1, slope1, rho, y, slope;
  std::vector<double> one, two;
  std::vector<int> all;
  std::vector<Vec> sphere, d_sphere, phi, got, b_, db, near_g, sent;
  std::vector<int> lanes;
  int n_harmonics;

  double factor(int channel, int kind, int w) const
  {
    return p.charges[channel * p.n_kinds + kind] * p.scale_a[channel * p.n_wavelets + w];
  }

  static double square(const double *field, int blocks)
  {
    Vec total{};
    for (int b = 0; b < blocks; ++b) {
      const Vec v = load(field + b * W);
      total += v * v;
    }
    return sum(total);
  }

  // Radial functions of some wavelets for a block, and their derivatives over r.
  void radial(Vec r, const std::vector<int> &which, Vec *value, Vec *rise)
  {
    const double on = p.cutoff - p.fade;
    Vec t = (r - on) / p.fade;
    t = t < 0.0 ? Vec{} : t;
    const Vec rest = 1.0 - t, square = r * r;
    const Vec fade = rest * rest * rest * (1.0 + 3.0 * t + 6.0 * t * t);
    const Vec fading = -30.0 * t * t * rest * rest / (p.fade * r);
    for (int k = 0; k < p.n_scales; ++k) {
      s_[k] = square * p.inverse[k];
      const Vec e = exponential(-0.5 * s_[k]);
      e_[k] = e * fade;
      f_[k] = e * fading;
    }
    for (std::size_t i = 0; i < which.size(); ++i) {
      const int w = which[i], k = p.scale[w];
      const double *c = &p.polynomial[w * p.width];
      const Vec s = s_[k];
      Vec v = Vec{} + c[p.top[w]], d{};
      for (int m = p.top[w] - 1; m >= 0; --m) {
        d = d * s + v;
        v = v * s + c[m];
      }
      value[i] = e_[k] * v;
      if (rise) rise[i] = e_[k] * (2.0 * d - v) * p.inverse[k] + f_[k] * v;
    }
  }

  void harmonics(const Harmonics &at, Vec x, Vec y, Vec z, Vec r, Vec *to) const
  {
    const int n = at.l_max + 1;
    Vec *const q = to + at.q, *const c = to + at.c, *const s = to + at.s;
    const Vec square = r * r;
    c[0] = Vec{} + 1.0;
    s[0] = Vec{};
    for (int m = 1; m < n; ++m) {
      c[m] = x * c[m - 1] - y * s[m - 1];
      s[m] = x * s[m - 1] + y * c[m - 1];
    }
    double start = 1.0;
    for (int m = 0; m < n; ++m) {
      if (m > 0) start *= 2 * m - 1;
      for (int l = m; l < n; ++l) {
        const int k = l * (l + 1) / 2 + m;
        Vec value;
        if (l == m)
          value = Vec{} + start;
        else if (l == m + 1)
          value = (2 * m + 1) * start * z;
        else
          value = one[k] * z * q[(l - 1) * n + m] - two[k] * square * q[(l - 2) * n + m];
        q[l * n + m] = value;
        const Vec scaled = p.prefactor[l * (p.l_max + 1) + m] * value;
        to[l * l + l + m] = scaled * c[m];
        if (m > 0) to[l * l + l - m] = scaled * s[m];
      }
    }
  }

  // weight_m = Σ_w D_wm ρ_w; adds Σ_wm D_wm ρ'_w Y_m to along.
  template <int N> void collect(int l, const Vec *here, Vec *to, Vec &along) const
  {
    Vec total[N] = {}, sum_{};
    for (int w = p.first[l]; w < p.first[l + 1]; ++w) {
      const double *d = &d_kind[p.place[w]];
      const Vec value = rho1[w];
      Vec turn{};
      for (int m = 0; m < N; ++m) {
        turn += d[m] * here[m];
        total[m] += d[m] * value;
      }
      sum_ += slope1[w] * turn;
    }
    for (int m = 0; m < N; ++m) to[m] = total[m];
    along += sum_;
  }

  void collect_any(int l, const Vec *here, Vec *to, Vec &along) const
  {
    const int n = 2 * l + 1;
    std::fill_n(to, n, Vec{});
    for (int w = p.first[l]; w < p.first[l + 1]; ++w) {
      const double *d = &d_kind[p.place[w]];
      Vec turn{};
      for (int m = 0; m < n; ++m) {
        turn += d[m] * here[m];
        to[m] += d[m] * rho1[w];
      }
      along += slope1[w] * turn;
    }
  }

  // From weights of harmonics and radial derivatives to forces, at the places of the atoms.
  void pull(const Harmonics &at, const Near &near, int b, const Vec *h_, Vec along)
  {
    const int n = at.l_max + 1;
    const Vec *const q = h_ + at.q, *const c = h_ + at.c, *const s = h_ + at.s;
    const Vec x = near.x[b], y_ = near.y[b], z = near.z[b];
    Vec fx = along * x, fy = along * y_, fz = along * z, side{};
    for (int l = 1; l < n; ++l) {
      const Vec *const here = &weight[l * l + l];
      for (int m = 0; m <= l; ++m) {
        const double f = p.prefactor[l * (p.l_max + 1) + m];
        if (m < l) {
          Vec radial_ = here[m] * c[m];
          if (m > 0) radial_ += here[-m] * s[m];
          radial_ *= f;
          if (m + 1 < l) side += radial_ * q[(l - 1) * n + m + 1];
          fz += (double) (l + m) * radial_ * q[(l - 1) * n + m];
        }
        if (m > 0) {
          const Vec turn = f * m * q[l * n + m], up = here[m], down = here[-m];
          fx += turn * (up * c[m - 1] + down * s[m - 1]);
          fy += turn * (down * c[m - 1] - up * s[m - 1]);
        }
      }
    }
    fx -= x * side;
    fy -= y_ * side;
    const Vec bent = near.bend[b] * (x * fx + y_ * fy + z * fz);
    pull_x[b] = near.scale[b] * fx + bent * x;
    pull_y[b] = near.scale[b] * fy + bent * y_;
    pull_z[b] = near.scale[b] * fz + bent * z;
  }

  // h_q of U² + ε², and its derivative with respect to U².
  void modulus(Vec x, double q, Vec &value, Vec &rise) const
  {
    if (q == 1.0) {
      const Vec r = root(x);
      value = r - p.epsilon;
      rise = 0.5 / r;
    } else if (q == 2.0) {
      value = x - p.epsilon2;
      rise = Vec{} + 1.0;
    } else if (q == 1.5) {
      const Vec r = root(x), fourth = root(r);
      value = r * fourth - std::pow(p.epsilon2, 0.75);
      rise = 0.75 / fourth;
    } else {
      const double rest = std::pow(p.epsilon2, 0.5 * q);
      for (int k = 0; k < W; ++k) {
        const double power = std::pow(x[k], 0.5 * q - 1.0);
        value[k] = power * x[k] - rest;
        rise[k] = 0.5 * q * power;
      }
    }
  }

  double moduli(const Readout &readout, const double *a)
  {
    const int n = (int) p.moduli.size();
    Vec energy{};
    for (int k = 0; k < n; k += W) {
      Vec each[W] = {};
      for (int i = 0; i < std::min(W, n - k); ++i)
        for (int b = 0; b < p.moduli_blocks[k + i]; ++b) {
          const Vec v = load(a + p.moduli[k + i] + b * W);
          each[i] += v * v;
        }
      const Vec x = sums(each) + p.epsilon2;
      Vec total{};
      for (const Power &power : readout.powers) {
        Vec value, rise;
        modulus(x, power.q, value, rise);
        energy += power.weight[k / W] * value;
        total += power.weight[k / W] * rise;
      }
      squares[k / W] = x;
      slopes[k / W] = 2.0 * total;
    }
    for (int k = 0; k < n; ++k) {
      const double rise = slopes[k / W][k % W];
      for (int b = 0; b < p.moduli_blocks[k]; ++b) {
        const int at = p.moduli[k] + b * W;
        store(&da[at], load(&da[at]) + rise * load(a + at));
      }
    }
    return sum(energy);
  }

  double triples(const Readout &readout, const double *a)
  {
    if (readout.groups.empty()) return 0.0;
    const int n = (int) p.sphere.size();
    Vec energy{};
    for (int d = 0; d < p.direction_blocks; ++d) {
      const Vec *const table = &p.directions[d * n_harmonics];
      const Vec area = p.areas[d];
      Vec *const rise = &d_sphere[d * n];
      for (int f = 0; f < n; ++f) {
        const double *field = a + p.sphere[f];
        const Vec *row = table + p.sphere_row[f];
        Vec total = field[0] * row[0];
        for (int m = 1; m < p.sphere_size[f]; ++m) total += field[m] * row[m];
        sphere[f] = total;
        rise[f] = Vec{};
      }
      for (const Group &group : readout.groups) {
        const Vec u = sphere[group.one], v = sphere[group.two], product = area * u * v;
        Vec total{};
        for (int k = group.begin; k < group.end; ++k) {
          const int third = readout.third[k];
          const double w = readout.weight3[k];
          total += w * sphere[third];
          rise[third] += w * product;
        }
        energy += product * total;
        total *= area;
        rise[group.one] += total * v;
        rise[group.two] += total * u;
      }
    }
    for (int f = 0; f < n; ++f)
      for (int m = 0; m < p.sphere_size[f]; m += W) {
        double *to = &da[p.sphere[f] + m];
        store(to, load(to) + dots_of(std::min(W, p.sphere_size[f] - m), &d_sphere[f], n,
                                     &p.directions[p.sphere_row[f] + m], n_harmonics, p.direction_blocks));
      }
    return sum(energy);
  }

  double order2(const Near &near, const Readout &readout, const double *a, const double *g, double *dg,
                double *moment)
  {
    const int n = near.n_blocks, no = p.n_outer_wavelets, size = inner.size, nk = p.n_outer;
    const int room = n * W;
    rho.resize(n * no);
    slope.resize(n * no);
    y.resize(n * size);
    phi.resize(n * nk);
    for (int b = 0; b < n; ++b) {
      radial(near.r[b], p.outer, &rho[b * no], &slope[b * no]);
      harmonics(inner, near.x[b], near.y[b], near.z[b], near.r[b], &y[b * size]);
      for (int o = 0; o < no; ++o) {
        const int l = p.degree[p.outer[o]];
        for (int m = 0; m < 2 * l + 1; ++m)
          phi[(p.outer_row[o] + m) * n + b] = rho[b * no + o] * y[b * size + l * l + m];
      }
    }
    // g of the neighbours, by neighbour and by source.
    near_g.assign(room * sources, Vec{});
    sent.assign(n * p.n_sources, Vec{});
    lanes.clear();
    for (int v = 0; v < room; ++v) {
      if (near.index[v] < 0) continue;
      lanes.push_back(v);
      const double *from = g + (std::size_t) near.index[v] * p.n_sources;
      double *const row = (double *) &near_g[v * sources], *const column = (double *) sent.data() + v;
      for (int s = 0; s < p.n_sources; ++s) row[s] = column[s * room] = from[s];
    }
    const double *const f = (const double *) phi.data();
    b_.assign(nk * sources, Vec{});
    db.assign(nk * sources, Vec{});
    for (int s = 0; s < sources; s += 2)
      for (int k = 0; k < nk; k += 4)
        tile(std::min(2, sources - s), std::min(4, nk - k), f + k * room, room, 1, lanes.data(), (int) lanes.size(),
             &near_g[s], &b_[k * sources + s]);
    const double energy = terms2(readout, a);

    // Back to the neighbours' g, and to their places.
    got.assign(room * sources, Vec{});
    for (int s = 0; s < sources; s += 2)
      for (std::size_t v = 0; v < lanes.size(); v += 4)
        tile_back(std::min(2, sources - s), (int) std::min<std::size_t>(4, lanes.size() - v), f, room,
                  &lanes[v], nk, &db[s], s);
    for (int v : lanes) {
      const std::size_t to = (std::size_t) near.index[v] * p.n_sources;
      const double *row = (const double *) &got[v * sources];
      for (int s = 0; s < p.n_sources; ++s) dg[to + s] += row[s];
      if (moment) {
        const int b = v / W, lane = v % W;
        const double back = 1.0 / near.scale[b][lane];    // the vector of the pair itself
        const double d[3] = {back * near.x[b][lane], back * near.y[b][lane], back * near.z[b][lane]};
        for (int axis = 0; axis < 3; ++axis)
          for (int s = 0; s < p.n_sources; ++s) moment[3 * to + axis * p.n_sources + s] += d[axis] * row[s];
      }
    }
    for (int b = 0; b < n; ++b) {
      std::fill_n(weight.begin(), (p.outer_l + 1) * (p.outer_l + 1), Vec{});
      Vec along{};
      const Vec *const h_ = &y[b * size], *const from = &sent[b];
      for (int o = 0; o < no; ++o) {
        const int l = p.degree[p.outer[o]], k = p.outer_row[o];
        Vec turn{};
        for (int m = 0; m < 2 * l + 1; ++m) {
          const double *const d = (const double *) &db[(k + m) * sources];
          Vec even{}, odd{};
          int s = 0;
          for (; s + 1 < p.n_sources; s += 2) {
            even += d[s] * from[s * n];
            odd += d[s + 1] * from[(s + 1) * n];
          }
          if (s < p.n_sources) even += d[s] * from[s * n];
          even += odd;
          turn += h_[l * l + m] * even;
          weight[l * l + m] += rho[b * no + o] * even;
        }
        along += slope[b * no + o] * turn;
      }
      pull(inner, near, b, h_, along);
    }
    return energy;
  }

  // out[k][s] = Σ_v f[k][v] rows[v][s] for up to four k and two blocks of s.
  template <int S, int K>
  void tile_(const double *f, int stride, const int *which, int n, const Vec *rows, Vec *out) const
  {
    Vec total[K][S] = {};
    for (int i = 0; i < n; ++i) {
      const int v = which[i];
      for (int k = 0; k < K; ++k)
        for (int s = 0; s < S; ++s) total[k][s] += f[k * stride + v] * rows[v * sources + s];
    }
    for (int k = 0; k < K; ++k)
      for (int s = 0; s < S; ++s) out[k * sources + s] = total[k][s];
  }

  void tile(int s, int k, const double *f, int stride, int, const int *which, int n, const Vec *rows,
            Vec *out) const
  {
    if (s == 2 && k == 4) return tile_<2, 4>(f, stride, which, n, rows, out);
    if (s == 1 && k == 4) return tile_<1, 4>(f, stride, which, n, rows, out);
    for (int i = 0; i < k; ++i)
      for (int j = 0; j < s; ++j)
        tile_<1, 1>(f + i * stride, stride, which, n, rows + j, out + i * sources + j);
  }

  // got[v][s] = Σ_k f[k][v] d[k][s] for up to four v and two blocks of s.
  template <int S, int V>
  void tile_back_(const double *f, int stride, const int *which, int n, const Vec *d, int at)
  {
    Vec total[V][S] = {};
    for (int k = 0; k < n; ++k)
      for (int v = 0; v < V; ++v)
        for (int s = 0; s < S; ++s) total[v][s] += f[k * stride + which[v]] * d[k * sources + s];
    for (int v = 0; v < V; ++v)
      for (int s = 0; s < S; ++s) got[which[v] * sources + at + s] = total[v][s];
  }

  void tile_back(int s, int v, const double *f, int stride, const int *which, int n, const Vec *d, int at)
  {
    if (s == 2 && v == 4) return tile_back_<2, 4>(f, stride, which, n, d, at);
    if (s == 1 && v == 4) return tile_back_<1, 4>(f, stride, which, n, d, at);
    for (int i = 0; i < v; ++i)
      for (int j = 0; j < s; ++j) tile_back_<1, 1>(f, stride, which + i, n, d + j, at + j);
  }

  // Energy of the terms of order 2; B is scaled, db becomes the derivative before scaling.
  double terms2(const Readout &readout, const double *a)
  {
    Vec energy{};
    double mixed = 0.0;
    for (int o = 0; o < p.n_outer_wavelets; ++o) {
      const int size = 2 * p.degree[p.outer[o]] + 1;
      for (int s = 0; s < sources; ++s) {
        Vec *const row = &b_[p.outer_row[o] * sources + s];
        const Vec scale = p.scale_b[o * sources + s];
        Vec x = Vec{} + p.epsilon2;
        for (int m = 0; m < size; ++m) {
          row[m * sources] *= scale;
          x += row[m * sources] * row[m * sources];
        }
        Vec total{};
        for (const Power &power : readout.powers2) {
          const Vec w = power.weight[o * sources + s];
          Vec value, rise;
          modulus(x, power.q, value, rise);
          energy += w * value;
          total += w * rise;
        }
        total *= 2.0;
        for (int m = 0; m < size; ++m) db[(p.outer_row[o] + m) * sources + s] = total * row[m * sources];
      }
    }
    for (const Mixed &term : readout.mixed)
      for (int m = 0; m < term.size; ++m) {
        const double field = a[term.field + m];
        Vec total{};
        for (int s = term.lo; s < term.hi; ++s) {
          const int k = (term.row + m) * sources + s;
          const Vec w = readout.mixed_weights[term.weights + s - term.lo];
          total += w * b_[k];
          db[k] += w * field;
        }
        const double found = sum(total);
        da[term.field + m] += found;
        mixed += field * found;
      }
    for (int o = 0; o < p.n_outer_wavelets; ++o)
      for (int m = 0; m < 2 * p.degree[p.outer[o]] + 1; ++m)
        for (int s = 0; s < sources; ++s)
          db[(p.outer_row[o] + m) * sources + s] *= p.scale_b[o * sources + s];
    return sum(energy) + mixed;
  }

  // The value of each term by itself; order 2 has been computed.
  void single_terms(const double *a, double *values)
  {
    auto power = [&](double x, double q) { return std::pow(x, 0.5 * q) - std::pow(p.epsilon2, 0.5 * q); };
    for (std::size_t k = 0; k < p.modulus.size(); ++k)
      *values++ = power(squares[p.modulus[k] / W][p.modulus[k] % W], p.exponent1[k]);
    for (std::size_t k = 0; k < p.cross.size(); k += 4) {
      const double *u = a + p.at(p.cross[k], p.cross[k + 1]), *v = a + p.at(p.cross[k + 2], p.cross[k + 3]);
      double total = 0.0;
      for (int m = 0; m < 2 * p.degree[p.cross[k + 1]] + 1; ++m) total += u[m] * v[m];
      *values++ = total;
    }
    double *const products = values;
    const int n_triples = (int) p.triple.size() / 3;
    std::fill_n(products, n_triples, 0.0);
    for (int d = 0; d < p.direction_blocks; ++d) {
      const Vec *const table = &p.directions[d * n_harmonics];
      for (std::size_t f = 0; f < p.sphere.size(); ++f) {
        Vec total{};
        for (int m = 0; m < p.sphere_size[f]; ++m) total += a[p.sphere[f] + m] * table[p.sphere_row[f] + m];
        sphere[f] = total;
      }
      for (int k = 0; k < n_triples; ++k)
        products[k] += sum(p.areas[d] * sphere[p.triple[3 * k]] * sphere[p.triple[3 * k + 1]] *
                           sphere[p.triple[3 * k + 2]]);
    }
    values += n_triples;
    auto second = [&](int s, int o, int m) { return b_[(p.outer_row[o] + m) * sources + s / W][s % W]; };
    for (std::size_t k = 0; k < p.modulus2.size(); k += 2) {
      const int o = p.modulus2[k + 1];
      double x = p.epsilon2;
      for (int m = 0; m < 2 * p.degree[p.outer[o]] + 1; ++m)
        x += second(p.modulus2[k], o, m) * second(p.modulus2[k], o, m);
      *values++ = power(x, p.exponent2[k / 2]);
    }
    for (std::size_t k = 0; k < p.cross2.size(); k += 4) {
      const double *field = a + p.at(p.cross2[k + 2], p.cross2[k + 3]);
      double total = 0.0;
      for (int m = 0; m < 2 * p.degree[p.cross2[k + 3]] + 1; ++m)
        total += second(p.cross2[k], p.cross2[k + 1], m) * field[m];
      *values++ = total;
    }
  }
};

}    // namespace ase_scatter

#endif
