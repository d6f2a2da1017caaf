// The pair style "scatter": a potential on sites.

#ifndef ASE_SCATTER_PAIR_SCATTER_H
#define ASE_SCATTER_PAIR_SCATTER_H

#include "pair.h"

#include <memory>
#include <vector>

#include "../cxx/kernels.hpp"

namespace LAMMPS_NS {

class PairScatter : public Pair {
 public:
  explicit PairScatter(class LAMMPS *);
  ~PairScatter() override;
  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &) override;
  double memory_usage() override;

 private:
  std::unique_ptr<ase_scatter::Potential> potential;
  std::unique_ptr<ase_scatter::Kernels> kernels;
  std::unique_ptr<ase_scatter::Near> near;
  std::vector<double> a, kept, g, dg, moment, back, scratch, values;
  std::vector<double> *summed;    // what the reverse communication sums
  int summed_size;

  // What `fix pair` asks for, on the steps on which it does.
  int grade_flag, energy_flag, force_flag;
  std::vector<double> grade, energy_halfwidth, force_halfwidth;

  void compute_all(int, int);
  bool gather(int);
  void sum_over_owners(std::vector<double> &, int);
  void forces(int, double *);
  void tally(int, int, const double *, const double *);
  void tally_moments(int);
  void uncertainties();
};

}    // namespace LAMMPS_NS

#endif
