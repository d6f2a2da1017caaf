// Registers the pair style "scatter" with LAMMPS when the plugin is loaded.

#include "error.h"
#include "lammps.h"
#include "pair_scatter.h"

#ifndef ASE_SCATTER_LAMMPS
#error "define ASE_SCATTER_LAMMPS as the version of LAMMPS whose headers these are, such as 20250722"
#endif

// Of lammpsplugin.h, which packages of LAMMPS do not ship.
extern "C" {
typedef struct {
  const char *version, *style, *name, *info, *author;
  union {
    void *(*v1)(void *);
    void *(*v2)(void *, int, char **);
  } creator;
  void *handle;
} lammpsplugin_t;
int lammps_version(void *);
}

static void *create(void *lammps) { return new LAMMPS_NS::PairScatter((LAMMPS_NS::LAMMPS *) lammps); }

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lammps, void *handle, void *add)
{
  const int version = lammps_version(lammps);
  if (version != ASE_SCATTER_LAMMPS) {
    // Classes differ between versions: not even LAMMPS's own error class can be relied on.
    std::fprintf(stderr,
                 "ERROR: pair style scatter was built for LAMMPS of %d, but this is LAMMPS of %d: run "
                 "'ase-scatter lammps build' again\n",
                 ASE_SCATTER_LAMMPS, version);
    return;
  }
  lammpsplugin_t plugin;
  plugin.version = ((LAMMPS_NS::LAMMPS *) lammps)->version;
  plugin.style = "pair";
  plugin.name = "scatter";
  plugin.info = "ase_scatter potential on sites";
  plugin.author = "ase_scatter developers";
  plugin.creator.v1 = &create;
  plugin.handle = handle;
  ((void (*)(lammpsplugin_t *, void *)) add)(&plugin, lammps);
}
