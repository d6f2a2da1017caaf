// A model driver for the KIM API: a potential on sites from its text file.
//
// Nothing is communicated between the passes. Padding atoms reach to two cutoffs: the energies of atoms depend
// on g of their neighbours, and that on the neighbours of these.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "KIM_ModelDriverHeaders.hpp"

#include "kernels.hpp"

#define LOGGED ::KIM::LOG_VERBOSITY::error

namespace {

using ase_scatter::Close;

class Driver {
 public:
  const ase_scatter::Potential potential;
  const double influence, cutoff;
  const int neighbors_of_padding = 0;    // "will not request" them: false

  explicit Driver(const std::string &path) :
      potential(ase_scatter::Potential::read(path)),
      influence(potential.n_sources ? 2.0 * potential.range() : potential.range()), cutoff(potential.range()),
      near(potential), kernels(potential)
  {
  }

  int compute(const KIM::ModelComputeArguments *arguments);

 private:
  ase_scatter::Near near;
  ase_scatter::Kernels kernels;
  std::vector<double> a, kept, g, dg;
  std::vector<char> needed;
  // What the simulator hands over, null for what it does not want.
  const int *n_particles, *species, *contributing;
  const double *coordinates;
  double *energy, *energies, *forces, *virial, *virials;

  bool gather(const KIM::ModelComputeArguments *arguments, int i);
  void add_pairs(int i);
  void add(int i, int j, const double *d, const double *pull);
};

// Finds the neighbours of an atom; true if the simulator fails to give them.
bool Driver::gather(const KIM::ModelComputeArguments *arguments, int i)
{
  int n = 0;
  const int *neighbors = nullptr;
  if (arguments->GetNeighborList(0, i, &n, &neighbors)) return true;
  const double *const x = coordinates + 3 * i;
  near.clear();
  for (int k = 0; k < n; ++k) {
    const int j = neighbors[k];
    const double *const y = coordinates + 3 * j;
    near.add(j, species[j], y[0] - x[0], y[1] - x[1], y[2] - x[2]);
  }
  near.arrange(species[i]);
  return false;
}

int Driver::compute(const KIM::ModelComputeArguments *arguments)
{
  namespace NAME = KIM::COMPUTE_ARGUMENT_NAME;
  if (arguments->GetArgumentPointer(NAME::numberOfParticles, &n_particles) ||
      arguments->GetArgumentPointer(NAME::particleSpeciesCodes, &species) ||
      arguments->GetArgumentPointer(NAME::particleContributing, &contributing) ||
      arguments->GetArgumentPointer(NAME::coordinates, &coordinates) ||
      arguments->GetArgumentPointer(NAME::partialEnergy, &energy) ||
      arguments->GetArgumentPointer(NAME::partialParticleEnergy, &energies) ||
      arguments->GetArgumentPointer(NAME::partialForces, &forces) ||
      arguments->GetArgumentPointer(NAME::partialVirial, &virial) ||
      arguments->GetArgumentPointer(NAME::partialParticleVirial, &virials))
    return true;
  const ase_scatter::Potential &p = potential;
  const std::size_t n = *n_particles, size = p.n_sources;
  if (energy) *energy = 0.0;
  if (energies) std::fill_n(energies, n, 0.0);
  if (forces) std::fill_n(forces, 3 * n, 0.0);
  if (virial) std::fill_n(virial, 6, 0.0);
  if (virials) std::fill_n(virials, 6 * n, 0.0);
  const bool derivatives = forces || virial || virials;

  // Fields of the atoms that contribute and, for order 2, of their neighbours.
  needed.assign(n, 0);
  for (std::size_t i = 0; i < n; ++i) {
    if (!contributing[i]) continue;
    needed[i] = 1;
    if (!size) continue;
    if (gather(arguments, (int) i)) return true;
    for (const int j : near.index)
      if (j >= 0) needed[j] = 1;
  }
  a.resize(n * p.n_fields);
  kept.resize(n * p.n_kept);
  g.assign(n * size, 0.0);
  dg.assign(n * size, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    if (!needed[i]) continue;
    if (gather(arguments, (int) i)) return true;
    kernels.fields(near, &a[i * p.n_fields], g.data() + i * size);
  }

  for (std::size_t i = 0; i < n; ++i) {
    if (!needed[i]) continue;
    double *const mine = a.data() + i * p.n_fields;
    if (!contributing[i]) {
      for (std::size_t s = 0; s < size; ++s)
        std::copy_n(mine + p.source[s], ase_scatter::W * p.source_blocks_of[s],
                    kept.data() + i * p.n_kept + p.kept_at[s]);
      std::fill_n(mine, p.n_fields, 0.0);
      continue;
    }
    if (gather(arguments, (int) i)) return true;
    double value = kernels.terms(near, p.readouts[0][species[i]], mine, kept.data() + i * p.n_kept, g.data(),
                                 dg.data());
    if (derivatives) add_pairs((int) i);
    double slope = 0.0;
    for (const Close &c : near.close) {
      value += kernels.repulsion(species[i], c, slope);
      const double d[3] = {c.x, c.y, c.z}, pull[3] = {slope * c.x, slope * c.y, slope * c.z};
      if (derivatives) add((int) i, c.index, d, pull);
    }
    if (energy) *energy += value;
    if (energies) energies[i] += value;
  }
  if (!derivatives) return false;

  for (std::size_t i = 0; i < n; ++i) {
    if (!needed[i]) continue;
    if (gather(arguments, (int) i)) return true;
    double *const mine = a.data() + i * p.n_fields;
    kernels.complete(mine, g.data() + i * size, dg.data() + i * size, kept.data() + i * p.n_kept);
    kernels.adjoint(near, mine);
    add_pairs((int) i);
  }
  return false;
}

// Adds the forces and virials of an atom's pairs.
void Driver::add_pairs(int i)
{
  const double *const px = (const double *) kernels.pull_x.data(),
                     *const py = (const double *) kernels.pull_y.data(),
                     *const pz = (const double *) kernels.pull_z.data();
  for (int v = 0; v < (int) near.index.size(); ++v) {
    const int j = near.index[v];
    if (j < 0) continue;
    const double pull[3] = {px[v], py[v], pz[v]};
    const double *const x = coordinates + 3 * i, *const y = coordinates + 3 * j;
    const double d[3] = {y[0] - x[0], y[1] - x[1], y[2] - x[2]};
    add(i, j, d, pull);
  }
}

// Adds ∂E/∂r of a pair; half of its virial is each atom's.
void Driver::add(int i, int j, const double *d, const double *pull)
{
  if (forces)
    for (int k = 0; k < 3; ++k) {
      forces[3 * i + k] += pull[k];
      forces[3 * j + k] -= pull[k];
    }
  if (!virial && !virials) return;
  const double v[6] = {d[0] * pull[0],
                       d[1] * pull[1],
                       d[2] * pull[2],
                       0.5 * (d[1] * pull[2] + d[2] * pull[1]),
                       0.5 * (d[0] * pull[2] + d[2] * pull[0]),
                       0.5 * (d[0] * pull[1] + d[1] * pull[0])};
  for (int k = 0; k < 6; ++k) {
    if (virial) virial[k] += v[k];
    if (virials) {
      virials[6 * i + k] += 0.5 * v[k];
      virials[6 * j + k] += 0.5 * v[k];
    }
  }
}

// ---- what the KIM API calls -------------------------------------------------------------------------------

int compute(const KIM::ModelCompute *model, const KIM::ModelComputeArguments *arguments)
{
  Driver *driver = nullptr;
  model->GetModelBufferPointer((void **) &driver);
  try {
    return driver->compute(arguments);
  } catch (const std::exception &problem) {
    model->LogEntry(LOGGED, problem.what(), __LINE__, __FILE__);
    return true;
  }
}

int create_arguments(const KIM::ModelCompute *, KIM::ModelComputeArgumentsCreate *arguments)
{
  namespace NAME = KIM::COMPUTE_ARGUMENT_NAME;
  for (const auto &name : {NAME::partialEnergy, NAME::partialParticleEnergy, NAME::partialForces,
                           NAME::partialVirial, NAME::partialParticleVirial})
    if (arguments->SetArgumentSupportStatus(name, KIM::SUPPORT_STATUS::optional)) return true;
  return false;
}

int destroy_arguments(const KIM::ModelCompute *, KIM::ModelComputeArgumentsDestroy *)
{
  return false;
}

int destroy(KIM::ModelDestroy *model)
{
  Driver *driver = nullptr;
  model->GetModelBufferPointer((void **) &driver);
  delete driver;
  return false;
}

template <class Routine> KIM::Function *routine(Routine *function)
{
  return reinterpret_cast<KIM::Function *>(function);
}

}    // namespace

extern "C" int ase_scatter_driver_create(KIM::ModelDriverCreate *const model, KIM::LengthUnit const,
                                         KIM::EnergyUnit const, KIM::ChargeUnit const,
                                         KIM::TemperatureUnit const, KIM::TimeUnit const)
{
  namespace NAME = KIM::MODEL_ROUTINE_NAME;
  const std::string *folder = nullptr, *file = nullptr;
  model->GetParameterFileDirectoryName(&folder);
  if (model->GetParameterFileBasename(0, &file)) return true;
  std::unique_ptr<Driver> driver;
  try {
    driver = std::make_unique<Driver>(*folder + "/" + *file);
  } catch (const std::exception &problem) {
    model->LogEntry(LOGGED, "potential file " + *file + ": " + problem.what(), __LINE__, __FILE__);
    return true;
  }
  // Simulators convert if they compute in others.
  if (model->SetUnits(KIM::LENGTH_UNIT::A, KIM::ENERGY_UNIT::eV, KIM::CHARGE_UNIT::unused,
                      KIM::TEMPERATURE_UNIT::unused, KIM::TIME_UNIT::unused) ||
      model->SetModelNumbering(KIM::NUMBERING::zeroBased))
    return true;
  const std::vector<std::string> &elements = driver->potential.elements;
  for (int code = 0; code < (int) elements.size(); ++code)
    if (elements[code] != "-" && model->SetSpeciesCode(KIM::SpeciesName(elements[code]), code)) return true;
  const auto cpp = KIM::LANGUAGE_NAME::cpp;
  if (model->SetRoutinePointer(NAME::ComputeArgumentsCreate, cpp, true, routine(create_arguments)) ||
      model->SetRoutinePointer(NAME::Compute, cpp, true, routine(compute)) ||
      model->SetRoutinePointer(NAME::ComputeArgumentsDestroy, cpp, true, routine(destroy_arguments)) ||
      model->SetRoutinePointer(NAME::Destroy, cpp, true, routine(destroy)))
    return true;
  model->SetInfluenceDistancePointer(&driver->influence);
  model->SetNeighborListPointers(1, &driver->cutoff, &driver->neighbors_of_padding);
  model->SetModelBufferPointer(driver.release());
  return false;
}
