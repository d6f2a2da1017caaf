// A potential on sites as tables, read from the text that `ase-scatter lammps export` writes.

#ifndef ASE_SCATTER_POTENTIAL_HPP
#define ASE_SCATTER_POTENTIAL_HPP

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "vectors.hpp"

namespace ase_scatter {

// What a file says: words, and tables of numbers, each by its name.
class Tables {
 public:
  explicit Tables(const std::string &text)
  {
    const std::size_t end = text.rfind("crc32 ");
    if (text.compare(0, TITLE.size(), TITLE) != 0)
      throw std::runtime_error("it is no potential that 'ase-scatter lammps export' of this version wrote");
    if (end == std::string::npos ||
        std::strtoul(text.c_str() + end + 6, nullptr, 16) != checksum(text, end))
      throw std::runtime_error("it is damaged or cut off; export it anew");
    std::istringstream lines(text.substr(0, end));
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
      const std::size_t space = line.find(' ');
      const std::string name = line.substr(0, space), rest = line.substr(space + 1);
      if (name == "name" || name == "hash" || name == "elements") {
        words[name] = rest;
        continue;
      }
      char *at = nullptr;
      std::vector<double> values(std::strtoul(rest.c_str(), &at, 10));
      for (double &value : values) value = std::strtod(at, &at);
      tables[name] = std::move(values);
    }
  }

  const std::string &text(const std::string &name) const { return find(words, name); }
  bool has(const std::string &name) const { return tables.count(name) > 0; }
  const std::vector<double> &of(const std::string &name) const { return find(tables, name); }
  double number(const std::string &name) const { return of(name).at(0); }
  std::vector<int> whole(const std::string &name) const
  {
    const std::vector<double> &values = of(name);
    return std::vector<int>(values.begin(), values.end());
  }

 private:
  const std::string TITLE = "ase_scatter potential on sites, version 1\n";
  std::map<std::string, std::string> words;
  std::map<std::string, std::vector<double>> tables;

  template <class Map> static const typename Map::mapped_type &find(const Map &map, const std::string &name)
  {
    const auto found = map.find(name);
    if (found == map.end()) throw std::runtime_error("it lacks '" + name + "'; export it anew");
    return found->second;
  }

  static std::uint32_t checksum(const std::string &text, std::size_t length)
  {
    std::uint32_t crc = 0xffffffffu;
    for (std::size_t k = 0; k < length; ++k) {
      crc ^= static_cast<unsigned char>(text[k]);
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
    }
    return ~crc;
  }
};

// Weights of one element's terms, in the order in which the kernels go through them.
struct Power {    // moduli to one exponent
  double q;
  std::vector<Vec> weight;
};
struct Cross {    // two fields of order 1
  int one, two, blocks;
  double weight;
};
struct Group {    // triple products that share two fields
  int one, two, begin, end;
};
struct Mixed {    // an outer wavelet with a field of order 1; weights of the sources in blocks lo…hi
  int row, field, size, lo, hi, weights;
};
struct Readout {
  double e0;
  std::vector<Power> powers, powers2;
  std::vector<Cross> cross;
  std::vector<Group> groups;
  std::vector<int> third;
  std::vector<double> weight3;
  std::vector<Mixed> mixed;
  std::vector<Vec> mixed_weights;
};

// Where the training data lie, for the atoms of one element.
struct Region {
  std::vector<int> terms;
  std::vector<double> mean, scale, axes, lengths;
  double rest, edge;
};

struct Potential {
  std::string name, hash;
  std::vector<std::string> elements;
  double cutoff, fade, epsilon2, epsilon, held;
  int n_kinds, n_channels, n_scales, n_wavelets, l_max, outer_l, n_outer_wavelets, n_outer;
  int n_sources, source_blocks, ld;    // ld: doubles of the sources of one atom, padded
  std::vector<int> degree, scale, outer;    // outer: the wavelets of the second convolution
  std::vector<int> first, outer_row;    // first wavelet of each degree; first row of each outer wavelet
  std::vector<double> inverse, polynomial;    // 1/β²; coefficients of each wavelet
  std::vector<int> top;    // degree of each polynomial
  int width;
  std::vector<int> place;    // where the field of each wavelet stands in an atom's fields
  int stride, n_fields;    // of a channel, of an atom
  std::vector<double> charges, scale_a, closest;
  std::vector<Vec> scale_b;    // (outer wavelet, block of sources)
  std::vector<int> moduli, moduli_blocks;    // place and blocks of each field
  std::vector<int> source, source_blocks_of;    // the same for the sources
  std::vector<int> kept_at;    // where the source's field is kept
  int n_kept;
  std::vector<int> sphere, sphere_size, sphere_row;
  int n_directions, direction_blocks;
  std::vector<Vec> directions, areas;
  std::vector<double> prefactor;
  double core_cutoff;
  std::vector<double> core_inner, core_outer, core_charge, core_screening, screening, decays;
  // Of each term: kind of table, and rows and exponents, for values of single terms.
  std::vector<int> modulus, cross, triple, modulus2, cross2;
  std::vector<double> exponent1, exponent2;
  int n_terms;
  std::vector<std::vector<Readout>> readouts;    // (the potential and its members, element)
  std::vector<Region> regions;
  std::vector<double> shortest;
  double most_shortest = 0.0, factor_energy = NAN, factor_force = NAN;

  static Potential read(const std::string &path)
  {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("it cannot be opened");
    std::ostringstream text;
    text << file.rdbuf();
    return Potential(Tables(text.str()));
  }

  int n_members() const { return (int) readouts.size() - 1; }
  double range() const { return cutoff > core_cutoff ? cutoff : core_cutoff; }
  int at(int channel, int wavelet) const { return channel * stride + place[wavelet]; }

  explicit Potential(const Tables &t)
  {
    name = t.text("name");
    hash = t.text("hash");
    std::istringstream symbols(t.text("elements"));
    for (std::string symbol; symbols >> symbol;) elements.push_back(symbol);
    n_kinds = (int) elements.size();
    cutoff = t.number("cutoff");
    fade = t.number("switch");
    epsilon2 = t.number("epsilon2");
    epsilon = std::sqrt(epsilon2);
    held = t.number("held");
    closest = t.of("closest");
    read_wavelets(t);
    read_terms(t);
    read_core(t);
    const int n_rows = (int) t.number("rows");
    for (int row = 0; row < n_rows; ++row) {
      readouts.emplace_back();
      for (int kind = 0; kind < n_kinds; ++kind) readouts.back().push_back(readout(t, row, kind));
    }
    if (t.has("factors")) {
      factor_energy = t.of("factors").at(0);
      factor_force = t.of("factors").at(1);
    }
    read_regions(t);
  }

 private:
  void read_wavelets(const Tables &t)
  {
    degree = t.whole("l");
    scale = t.whole("scale");
    polynomial = t.of("polynomial");
    n_wavelets = (int) degree.size();
    width = n_wavelets ? (int) polynomial.size() / n_wavelets : 1;
    for (double beta : t.of("betas")) inverse.push_back(1.0 / (beta * beta));
    n_scales = (int) inverse.size();
    l_max = n_wavelets ? degree.back() : 0;
    stride = 0;
    for (int w = 0; w < n_wavelets; ++w) {
      while ((int) first.size() <= degree[w]) first.push_back(w);
      place.push_back(stride);
      stride += padded(2 * degree[w] + 1);
      int m = width - 1;
      while (m > 0 && polynomial[w * width + m] == 0.0) --m;
      top.push_back(m);
    }
    first.push_back(n_wavelets);
    outer = t.whole("outer");
    n_outer_wavelets = (int) outer.size();
    n_outer = outer_l = 0;
    for (int w : outer) {
      outer_row.push_back(n_outer);
      n_outer += 2 * degree[w] + 1;
      outer_l = degree[w] > outer_l ? degree[w] : outer_l;
    }
    charges = t.of("charges");
    n_channels = (int) charges.size() / n_kinds;
    n_fields = n_channels * stride;
    scale_a = t.of("scale_a");
    prefactor = t.of("prefactor");
  }

  void read_terms(const Tables &t)
  {
    const std::vector<int> squared = t.whole("moduli"), sources = t.whole("source");
    for (std::size_t k = 0; k < squared.size(); k += 2) {
      moduli.push_back(at(squared[k], squared[k + 1]));
      moduli_blocks.push_back(blocks_of(2 * degree[squared[k + 1]] + 1));
    }
    n_kept = 0;
    for (int row : sources) {
      source.push_back(moduli[row]);
      source_blocks_of.push_back(moduli_blocks[row]);
      kept_at.push_back(n_kept);
      n_kept += W * moduli_blocks[row];
    }
    n_sources = (int) sources.size();
    source_blocks = blocks_of(n_sources);
    ld = W * source_blocks;
    const std::vector<double> &norms = t.of("scale_b");    // (source, outer wavelet)
    scale_b.assign(n_outer_wavelets * source_blocks, Vec{});
    for (int s = 0; s < n_sources; ++s)
      for (int o = 0; o < n_outer_wavelets; ++o)
        scale_b[o * source_blocks + s / W][s % W] = norms[s * n_outer_wavelets + o];
    const std::vector<int> turned = t.whole("sphere");
    for (std::size_t k = 0; k < turned.size(); k += 2) {
      const int l = degree[turned[k + 1]];
      sphere.push_back(at(turned[k], turned[k + 1]));
      sphere_size.push_back(2 * l + 1);
      sphere_row.push_back(l * l);
    }
    const std::vector<double> &area = t.of("areas"), &table = t.of("directions");
    n_directions = (int) area.size();
    direction_blocks = blocks_of(n_directions);
    auto pad = [&](const double *values) {
      std::vector<double> row(W * direction_blocks, 0.0);
      for (int d = 0; d < n_directions; ++d) row[d] = values[d];
      std::vector<Vec> found;
      for (int d = 0; d < direction_blocks; ++d) found.push_back(load(&row[W * d]));
      return found;
    };
    areas = pad(area.data());
    // Harmonics of one block of directions stand together.
    const int n_rows = n_directions ? (int) table.size() / n_directions : 0;
    directions.assign(n_rows * direction_blocks, Vec{});
    for (int row = 0; row < n_rows; ++row) {
      const std::vector<Vec> values = pad(&table[row * n_directions]);
      for (int d = 0; d < direction_blocks; ++d) directions[d * n_rows + row] = values[d];
    }
    modulus = t.whole("modulus");
    exponent1 = t.of("exponent1");
    cross = t.whole("cross");
    triple = t.whole("triple");
    modulus2 = t.whole("modulus2");
    exponent2 = t.of("exponent2");
    cross2 = t.whole("cross2");
    n_terms = (int) (modulus.size() + cross.size() / 4 + triple.size() / 3 + modulus2.size() / 2 +
                     cross2.size() / 4);
  }

  void read_core(const Tables &t)
  {
    core_inner = t.of("core_inner");
    core_outer = t.of("core_outer");
    core_charge = t.of("core_charge");
    core_screening = t.of("core_screening");
    screening = t.of("screening");
    decays = t.of("decays");
    core_cutoff = 0.0;
    for (double r : core_outer) core_cutoff = r > core_cutoff ? r : core_cutoff;
  }

  void read_regions(const Tables &t)
  {
    if (!t.has("shortest")) return;
    shortest = t.of("shortest");
    for (double r : shortest) most_shortest = r > most_shortest ? r : most_shortest;
    for (int kind = 0; kind < n_kinds; ++kind) {
      const std::string of = "_" + std::to_string(kind);
      const std::vector<double> &ends = t.of("region" + of);
      regions.push_back({t.whole("terms" + of), t.of("mean" + of), t.of("deviation" + of), t.of("axes" + of),
                         t.of("lengths" + of), ends.at(0), ends.at(1)});
    }
  }

  // Rows of powers, one for each exponent that occurs.
  static Vec &power(std::vector<Power> &powers, double q, int n_blocks, int block)
  {
    for (Power &p : powers)
      if (p.q == q) return p.weight[block];
    powers.push_back({q, std::vector<Vec>(n_blocks, Vec{})});
    return powers.back().weight[block];
  }

  Readout readout(const Tables &t, int row, int kind) const
  {
    Readout found;
    const std::vector<double> &weights = t.of("weights_" + std::to_string(row));
    found.e0 = t.of("e0_" + std::to_string(row)).at(kind);
    const double *w = weights.data() + kind;
    for (std::size_t k = 0; k < modulus.size(); ++k, w += n_kinds)
      if (*w != 0.0)
        power(found.powers, exponent1[k], blocks_of((int) moduli.size()), modulus[k] / W)[modulus[k] % W] += *w;
    for (std::size_t k = 0; k < cross.size(); k += 4, w += n_kinds)
      if (*w != 0.0)
        found.cross.push_back({at(cross[k], cross[k + 1]), at(cross[k + 2], cross[k + 3]),
                               blocks_of(2 * degree[cross[k + 1]] + 1), *w});
    std::map<std::pair<int, int>, std::vector<std::pair<int, double>>> pairs;
    for (std::size_t k = 0; k < triple.size(); k += 3, w += n_kinds)
      if (*w != 0.0) pairs[{triple[k], triple[k + 1]}].push_back({triple[k + 2], *w});
    for (const auto &[pair, others] : pairs) {
      const int begin = (int) found.third.size();
      for (const auto &[third, weight] : others) {
        found.third.push_back(third);
        found.weight3.push_back(weight);
      }
      found.groups.push_back({pair.first, pair.second, begin, (int) found.third.size()});
    }
    for (std::size_t k = 0; k < modulus2.size(); k += 2, w += n_kinds)
      if (*w != 0.0) {
        const int s = modulus2[k], o = modulus2[k + 1];
        power(found.powers2, exponent2[k / 2], n_outer_wavelets * source_blocks,
              o * source_blocks + s / W)[s % W] += *w;
      }
    std::map<std::pair<int, int>, std::vector<Vec>> met;    // (field, outer wavelet) → weights of the sources
    std::map<int, int> sizes;
    for (std::size_t k = 0; k < cross2.size(); k += 4, w += n_kinds)
      if (*w != 0.0) {
        const int s = cross2[k], o = cross2[k + 1], field = at(cross2[k + 2], cross2[k + 3]);
        std::vector<Vec> &values = met[{field, o}];
        values.resize(source_blocks, Vec{});
        values[s / W][s % W] += *w;
        sizes[field] = 2 * degree[cross2[k + 3]] + 1;
      }
    for (const auto &[key, values] : met) {
      int lo = source_blocks, hi = 0;
      for (int b = 0; b < source_blocks; ++b)
        for (int k = 0; k < W; ++k)
          if (values[b][k] != 0.0) {
            lo = b < lo ? b : lo;
            hi = b + 1;
          }
      found.mixed.push_back({outer_row[key.second], key.first, sizes[key.first], lo, hi,
                             (int) found.mixed_weights.size()});
      found.mixed_weights.insert(found.mixed_weights.end(), values.begin() + lo, values.begin() + hi);
    }
    return found;
  }
};

}    // namespace ase_scatter

#endif
