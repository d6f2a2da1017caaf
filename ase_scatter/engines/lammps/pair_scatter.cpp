// The pair style "scatter": a potential on sites. Ghost atoms reach to one cutoff; between the passes g goes
// forward to them and ∂E/∂g back to their owners.

#include "pair_scatter.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"

using namespace LAMMPS_NS;
using ase_scatter::Close;
using ase_scatter::Readout;
using ase_scatter::W;

PairScatter::PairScatter(LAMMPS *lmp) :
    Pair(lmp), summed(nullptr), summed_size(0), grade_flag(0), energy_flag(0), force_flag(0), grade(1),
    energy_halfwidth(1), force_halfwidth(1)
{
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  centroidstressflag = CENTROID_AVAIL;
}

PairScatter::~PairScatter()
{
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

void PairScatter::settings(int narg, char **)
{
  if (narg > 0) error->all(FLERR, "pair_style scatter takes no arguments");
}

void PairScatter::coeff(int narg, char **arg)
{
  if (!allocated) {
    const int n = atom->ntypes + 1;
    memory->create(setflag, n, n, "pair:setflag");
    memory->create(cutsq, n, n, "pair:cutsq");
    map = new int[n];
    allocated = 1;
  }
  map_element2type(narg - 3, arg + 3);
  try {
    potential = std::make_unique<ase_scatter::Potential>(ase_scatter::Potential::read(arg[2]));
  } catch (const std::exception &problem) {
    error->all(FLERR, "potential file {}: {}", arg[2], problem.what());
  }
  const std::vector<std::string> &known = potential->elements;
  for (int type = 1; type <= atom->ntypes; ++type) {
    if (map[type] < 0) continue;
    const auto found = std::find(known.begin(), known.end(), elements[map[type]]);
    if (found == known.end()) error->all(FLERR, "potential {} does not know {}", arg[2], elements[map[type]]);
    map[type] = (int) (found - known.begin());
  }
  kernels = std::make_unique<ase_scatter::Kernels>(*potential);
  near = std::make_unique<ase_scatter::Near>(*potential);
  comm_forward = std::max(1, potential->n_sources);
  comm_reverse = std::max(3, 3 * potential->n_sources);
  if (comm->me == 0)
    utils::logmesg(lmp, "pair_style scatter: {}, hash {}\n", potential->name, potential->hash);
}

void PairScatter::init_style()
{
  if (std::strcmp(update->unit_style, "metal") != 0)
    error->all(FLERR, "pair_style scatter computes in eV and Angstrom: set 'units metal'");
  if (!force->newton_pair)
    error->all(FLERR, "pair_style scatter sums forces of pairs over processors: set 'newton on'");
  // A hybrid style asked before the potential was read; buffers are as large as the main style says.
  force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
  force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

double PairScatter::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "pair_coeff does not name an element for each atom type");
  return potential->range();
}

// ---- communication: g to ghosts, and sums back to owners --------------------------------------------------

int PairScatter::pack_forward_comm(int n, int *which, double *buffer, int, int *)
{
  const int size = potential->n_sources;
  for (int k = 0; k < n; ++k) buffer = std::copy_n(&g[(std::size_t) which[k] * size], size, buffer);
  return n * size;
}

void PairScatter::unpack_forward_comm(int n, int first, double *buffer)
{
  const int size = potential->n_sources;
  std::copy_n(buffer, (std::size_t) n * size, &g[(std::size_t) first * size]);
}

int PairScatter::pack_reverse_comm(int n, int first, double *buffer)
{
  std::copy_n(&(*summed)[(std::size_t) first * summed_size], (std::size_t) n * summed_size, buffer);
  return n * summed_size;
}

void PairScatter::unpack_reverse_comm(int n, int *which, double *buffer)
{
  for (int k = 0; k < n; ++k)
    for (int m = 0; m < summed_size; ++m) (*summed)[(std::size_t) which[k] * summed_size + m] += *buffer++;
}

void PairScatter::sum_over_owners(std::vector<double> &what, int size)
{
  if (size == 0) return;
  summed = &what;
  summed_size = size;
  comm->reverse_comm(this, size);
}

// ---- the passes -------------------------------------------------------------------------------------------

void PairScatter::compute(int eflag, int vflag)
{
  try {
    compute_all(eflag, vflag);
  } catch (const std::exception &problem) {
    error->one(FLERR, "pair_style scatter: {}", problem.what());
  }
}

// Finds the neighbours of a local atom; false for atoms that are not this style's.
bool PairScatter::gather(int i)
{
  const int kind = map[atom->type[i]];
  if (kind < 0) return false;
  double **const x = atom->x;
  const double xi = x[i][0], yi = x[i][1], zi = x[i][2];
  const int *const neighbors = list->firstneigh[i];
  near->clear();
  for (int k = 0; k < list->numneigh[i]; ++k) {
    const int j = neighbors[k] & NEIGHMASK, other = map[atom->type[j]];
    if (other >= 0) near->add(j, other, x[j][0] - xi, x[j][1] - yi, x[j][2] - zi);
  }
  near->arrange(kind);
  return true;
}

void PairScatter::compute_all(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const ase_scatter::Potential &p = *potential;
  const std::size_t n_all = atom->nlocal + atom->nghost, n_local = atom->nlocal, size = p.n_sources;
  a.resize(n_local * p.n_fields);
  kept.resize(n_local * p.n_kept);
  g.assign(n_all * size, 0.0);
  for (int ii = 0; ii < list->inum; ++ii) {
    const int i = list->ilist[ii];
    if (gather(i)) kernels->fields(*near, &a[(std::size_t) i * p.n_fields], g.data() + i * size);
  }
  if (size) comm->forward_comm(this, (int) size);
  const bool uncertain = grade_flag || energy_flag || force_flag;
  if (uncertain) scratch = a;

  const Readout *const readouts = p.readouts[0].data();
  dg.assign(n_all * size, 0.0);
  moment.assign(cvflag_atom ? 3 * n_all * size : 0, 0.0);
  for (int ii = 0; ii < list->inum; ++ii) {
    const int i = list->ilist[ii];
    if (!gather(i)) continue;
    const double energy = kernels->terms(
        *near, readouts[map[atom->type[i]]], &a[(std::size_t) i * p.n_fields], kept.data() + i * p.n_kept,
        g.data(), dg.data(), cvflag_atom ? moment.data() : nullptr);
    if (eflag_global) eng_vdwl += energy;
    if (eflag_atom) eatom[i] += energy;
    forces(i, &atom->f[0][0]);
  }
  sum_over_owners(dg, (int) size);
  if (cvflag_atom) sum_over_owners(moment, 3 * (int) size);

  for (int ii = 0; ii < list->inum; ++ii) {
    const int i = list->ilist[ii];
    if (!gather(i)) continue;
    double *const mine = &a[(std::size_t) i * p.n_fields];
    kernels->complete(mine, g.data() + i * size, dg.data() + i * size, kept.data() + i * p.n_kept);
    kernels->adjoint(*near, mine);
    forces(i, &atom->f[0][0]);
    double energy = 0.0, slope = 0.0;
    for (const Close &n : near->close) {
      energy += kernels->repulsion(map[atom->type[i]], n, slope);
      const double d[3] = {n.x, n.y, n.z}, pull[3] = {slope * n.x, slope * n.y, slope * n.z};
      for (int k = 0; k < 3; ++k) {
        atom->f[i][k] += pull[k];
        atom->f[n.index][k] -= pull[k];
      }
      if (vflag_either) tally(i, n.index, d, pull);
    }
    if (eflag_global) eng_vdwl += energy;
    if (eflag_atom) eatom[i] += energy;
    if (cvflag_atom) tally_moments(i);
  }
  if (vflag_fdotr) virial_fdotr_compute();
  if (uncertain) uncertainties();
}

// Adds the forces of an atom's pairs to those of atoms (3 for each), and to virials if they are the system's.
void PairScatter::forces(int i, double *f)
{
  const bool tallied = vflag_either && f == &atom->f[0][0];
  const double *const px = (const double *) kernels->pull_x.data(),
                     *const py = (const double *) kernels->pull_y.data(),
                     *const pz = (const double *) kernels->pull_z.data();
  double total[3] = {0.0, 0.0, 0.0};
  for (int v = 0; v < (int) near->index.size(); ++v) {
    const int j = near->index[v];
    if (j < 0) continue;
    const double pull[3] = {px[v], py[v], pz[v]};
    for (int k = 0; k < 3; ++k) {
      total[k] += pull[k];
      f[3 * (std::size_t) j + k] -= pull[k];
    }
    if (tallied) {
      double d[3];
      for (int k = 0; k < 3; ++k) d[k] = atom->x[j][k] - atom->x[i][k];
      tally(i, j, d, pull);
    }
  }
  for (int k = 0; k < 3; ++k) f[3 * (std::size_t) i + k] += total[k];
}

// The virial of a pair: half is each atom's; the centroid's virial is all the neighbour's, for it is the
// energy of i that depends on where j is.
void PairScatter::tally(int i, int j, const double *d, const double *pull)
{
  const double v[6] = {-d[0] * pull[0], -d[1] * pull[1], -d[2] * pull[2],
                       -0.5 * (d[0] * pull[1] + d[1] * pull[0]), -0.5 * (d[0] * pull[2] + d[2] * pull[0]),
                       -0.5 * (d[1] * pull[2] + d[2] * pull[1])};
  if (vflag_global)
    for (int k = 0; k < 6; ++k) virial[k] += v[k];
  if (vflag_atom)
    for (int k = 0; k < 6; ++k) {
      vatom[i][k] += 0.5 * v[k];
      vatom[j][k] += 0.5 * v[k];
    }
  if (cvflag_atom) {
    static const int rows[9] = {0, 1, 2, 0, 0, 1, 1, 2, 2}, columns[9] = {0, 1, 2, 1, 2, 2, 0, 0, 1};
    for (int k = 0; k < 9; ++k) cvatom[j][k] -= d[rows[k]] * pull[columns[k]];
  }
}

// What is left of the centroid's virial: energies of atoms beyond i depend on i's g, and so on the places of
// i and its neighbours. The moment holds Σ_m (R_i − R_m) ∂E_m/∂g_i.
void PairScatter::tally_moments(int i)
{
  static const int place[3][3] = {{0, 3, 4}, {6, 1, 5}, {7, 8, 2}};
  const ase_scatter::Potential &p = *potential;
  const std::size_t size = p.n_sources;
  if (!size) return;
  back.assign(p.n_fields, 0.0);
  for (int axis = 0; axis < 3; ++axis) {
    std::fill(back.begin(), back.end(), 0.0);
    kernels->complete(back.data(), g.data() + i * size, moment.data() + (3 * i + axis) * size,
                      kept.data() + i * p.n_kept);
    kernels->adjoint(*near, back.data());
    const double *const pulls[3] = {(const double *) kernels->pull_x.data(),
                                    (const double *) kernels->pull_y.data(),
                                    (const double *) kernels->pull_z.data()};
    for (int v = 0; v < (int) near->index.size(); ++v) {
      const int j = near->index[v];
      if (j < 0) continue;
      for (int k = 0; k < 3; ++k) {
        cvatom[j][place[axis][k]] -= pulls[k][v];
        cvatom[i][place[axis][k]] += pulls[k][v];
      }
    }
  }
}

// ---- how sure the potential is ----------------------------------------------------------------------------

void PairScatter::uncertainties()
{
  const ase_scatter::Potential &p = *potential;
  const std::size_t n_all = atom->nlocal + atom->nghost, n_local = atom->nlocal, size = p.n_sources;
  const int n_members = energy_flag || force_flag ? p.n_members() : 0;
  const std::vector<double> fields = scratch;
  std::vector<double> f(3 * n_all), mean(3 * n_local), square(3 * n_local), e_mean(n_local), e_square(n_local);
  grade.assign(std::max<std::size_t>(1, n_local), NAN);
  energy_halfwidth.assign(grade.size(), NAN);
  force_halfwidth.assign(grade.size(), NAN);
  values.resize(p.n_terms);
  for (int member = 0; member <= n_members; ++member) {
    if (member == 0 && !grade_flag) continue;
    std::copy(fields.begin(), fields.end(), scratch.begin());
    std::fill(dg.begin(), dg.end(), 0.0);
    std::fill(f.begin(), f.end(), 0.0);
    for (int ii = 0; ii < list->inum; ++ii) {
      const int i = list->ilist[ii], kind = map[atom->type[i]];
      if (!gather(i)) continue;
      const double energy =
          kernels->terms(*near, p.readouts[member][kind], &scratch[(std::size_t) i * p.n_fields],
                         kept.data() + i * p.n_kept, g.data(), dg.data(), nullptr,
                         member == 0 ? values.data() : nullptr);
      if (member == 0) {
        if (!p.regions.empty()) grade[i] = kernels->grade(*near, kind, values.data());
        continue;
      }
      const double step = energy - e_mean[i];
      e_mean[i] += step / member;
      e_square[i] += step * (energy - e_mean[i]);
      if (force_flag) forces(i, f.data());
    }
    if (member == 0 || !force_flag) continue;
    sum_over_owners(dg, (int) size);
    for (int ii = 0; ii < list->inum; ++ii) {
      const int i = list->ilist[ii];
      if (!gather(i)) continue;
      double *const mine = &scratch[(std::size_t) i * p.n_fields];
      kernels->complete(mine, g.data() + i * size, dg.data() + i * size, kept.data() + i * p.n_kept);
      kernels->adjoint(*near, mine);
      forces(i, f.data());
    }
    sum_over_owners(f, 3);
    for (std::size_t k = 0; k < 3 * n_local; ++k) {
      const double step = f[k] - mean[k];
      mean[k] += step / member;
      square[k] += step * (f[k] - mean[k]);
    }
  }
  if (n_members < 2) return;
  for (std::size_t i = 0; i < n_local; ++i) {
    energy_halfwidth[i] = p.factor_energy * std::sqrt(e_square[i] / (n_members - 1));
    if (force_flag) {
      const double total = square[3 * i] + square[3 * i + 1] + square[3 * i + 2];
      force_halfwidth[i] = p.factor_force * std::sqrt(total / 3.0 / (n_members - 1));
    }
  }
}

void *PairScatter::extract(const char *name, int &dimension)
{
  dimension = 0;
  if (!std::strcmp(name, "grade_flag")) return &grade_flag;
  if (!std::strcmp(name, "energy_halfwidth_flag")) return &energy_flag;
  if (!std::strcmp(name, "force_halfwidth_flag")) return &force_flag;
  return nullptr;
}

void *PairScatter::extract_peratom(const char *name, int &columns)
{
  columns = 0;
  if (!std::strcmp(name, "grade")) return grade.data();
  if (!std::strcmp(name, "energy_halfwidth")) return energy_halfwidth.data();
  if (!std::strcmp(name, "force_halfwidth")) return force_halfwidth.data();
  return nullptr;
}

double PairScatter::memory_usage()
{
  double doubles = 0.0;
  for (const auto *kept_ : {&a, &kept, &g, &dg, &moment, &scratch}) doubles += (double) kept_->capacity();
  return Pair::memory_usage() + sizeof(double) * doubles;
}
