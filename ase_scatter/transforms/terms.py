"""The invariants of an atom's surroundings that the atom-centred columns are made of.

Fields of order 1 at atom i are Ã_λm = Σ_j q_c(Z_j) φ_λm(r_ij) / √c, those of order 2 have g_λ1(j) in the
place of q_c(Z_j), with g = (Σ_m Ã_m² + ε²)^{1/2} − ε. A `Term` combines one to three fields into a number
that does not change when the surroundings are turned:

    modulus(λ; q)             h_q(Σ_m Ã_λm²),            h_q(x) = (x + ε²)^{q/2} − ε^q
    cross(λ, λ')              Σ_m Ã_λm Ã_λ'm             of equal l
    triple(λ, λ', λ'')        ∫ F_λ F_λ' F_λ'' dû        with F_λ(û) = Σ_m Ã_λm Y_lm(û) over all directions
    modulus2(λ → λ2; q)       h_q(Σ_m B̃_λλ2m²)
    cross2(λ → λ2, λ')        Σ_m B̃_λλ2m Ã_λ'm           of equal l

The integral over directions is a sum over a Lebedev rule that is exact for it. A column is a term summed
over the atoms of one element.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

from ..errors import InputError
from ..wavelets import Wavelet

MOST_MIXED = 3
"""With more channels than this, fields of different channels are not multiplied."""

LEAST_CUTOFF = 4.5
"""In Å: bonds of molecules are short, but what is beyond them counts."""

KINDS = ("modulus", "cross", "triple", "modulus2", "cross2")


class Field(NamedTuple):
    """A channel and the wavelet that it is convolved with."""

    channel: int
    wavelet: Wavelet


class Term(NamedTuple):
    """An invariant: its kind, its fields, the second wavelet of order 2, the exponent of a modulus."""

    kind: str
    fields: tuple[Field, ...]
    second: Wavelet | None = None
    exponent: float | None = None

    def flat(self) -> list[Any]:
        """As a list that JSON can hold."""
        row: list[Any] = [self.kind, [[f.channel, *_numbers(f.wavelet)] for f in self.fields]]
        row.append(None if self.second is None else _numbers(self.second))
        row.append(self.exponent)
        return row

    @classmethod
    def of_flat(cls, row: list[Any]) -> Term:
        """The term that `flat` described."""
        kind, fields, second, exponent = row
        if kind not in KINDS:
            raise InputError(f"unknown kind of term {kind!r}: a newer ase-scatter may know it")
        return cls(
            kind,
            tuple(Field(int(f[0]), Wavelet(*map(int, f[1:]))) for f in fields),
            None if second is None else Wavelet(*map(int, second)),
            None if exponent is None else float(exponent),
        )


def _numbers(wavelet: Wavelet) -> list[int]:
    return [wavelet.scale, wavelet.p, wavelet.l]


RICHNESS: dict[int, dict[str, Any]] = {
    1: {"n_scales": 4, "ratio": 2**0.5},
    2: {
        "n_scales": 3, "ratio": 1.5, "first": (6, 4), "inner": (3,), "outer": (3,), "triple": 3,
        "exponents1": (1.0, 2.0),
    },
    3: {
        "n_scales": 3, "ratio": 1.5, "first": (4, 2), "inner": (2,), "outer": (2,), "triple": 3,
        "exponents1": (1.0, 2.0), "exponents2": (1.0,),
    },
}  # fmt: skip
"""Number of elements (or more) → what differs from the defaults of `SitesSettings`."""


@dataclass(frozen=True, kw_only=True)
class SitesSettings:
    """Hyperparameters of the candidate columns; `recommended` chooses them from what the data are.

    scales: the ladder of β in Å, ascending. cutoff: neighbours up to this distance (Å) count.
    switch: over so many Å before the cutoff they fade out. epsilon2: ε², in units of the mean of U².
    first: largest l of each radial order p, for order 1. inner, outer: the same for the first and the
    second wavelet of order 2, which leaves out the `skipped` smallest scales. triple: largest l of
    triple products (of p = 0 fields; 0 leaves them out). exponents1, exponents2: the q of the moduli of
    order 1 and 2 (an empty exponents2 leaves order 2 out).
    """

    scales: tuple[float, ...]
    cutoff: float
    switch: float = 2.0
    epsilon2: float = 1.0
    first: tuple[int, ...] = (6, 4, 2)
    inner: tuple[int, ...] = (3,)
    outer: tuple[int, ...] = (3,)
    skipped: int = 1
    triple: int = 4
    exponents1: tuple[float, ...] = (1.0, 1.5, 2.0)
    exponents2: tuple[float, ...] = (1.0, 2.0)

    def __post_init__(self) -> None:
        for name in ("scales", "first", "inner", "outer", "exponents1", "exponents2"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        positive = all(beta > 0 for beta in self.scales)
        if not positive or not self.scales or list(self.scales) != sorted(set(self.scales)):
            raise InputError(f"scales must be positive, distinct and ascending, not {self.scales}")
        if not self.epsilon2 > 0:
            raise InputError("epsilon2 must be positive: at 0 forces and elasticity are not defined")
        if not 0 < self.switch < self.cutoff:
            raise InputError("cutoff and switch must be positive, and the cutoff larger than the switch")
        if not all(q > 0 for q in (*self.exponents1, *self.exponents2)):
            raise InputError("exponents must be positive")

    @classmethod
    def recommended(cls, n_elements: int, bond: float, **given: Any) -> SitesSettings:
        """Settings for so many elements with this typical bond (Å); what is given stays as it is.

        The cutoff is twice the bond or 4.5 Å, the largest scale half of the cutoff. The number of columns
        grows with elements and channels, so that with more elements each gets fewer (measured).
        """
        settings = {**RICHNESS[min(n_elements, max(RICHNESS))], **given}
        n_scales, ratio = settings.pop("n_scales"), settings.pop("ratio")
        switch = settings.get("switch", cls.switch)
        settings.setdefault("cutoff", round(max(2.0 * bond, LEAST_CUTOFF, switch + 1.0), 1))
        if not settings.get("scales"):
            largest = 0.48 * settings["cutoff"] if n_scales > 3 else 0.36 * settings["cutoff"]
            settings["scales"] = [round(largest * ratio ** (i + 1 - n_scales), 2) for i in range(n_scales)]
        return cls(**settings)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SitesSettings:
        """The settings that `to_dict` described."""
        return cls(**data)

    def wavelets(self, which: tuple[int, ...], *, skipped: int = 0) -> list[Wavelet]:
        """All wavelets with the (p, l) of a table p → largest l, without the smallest scales."""
        return [
            Wavelet(i, p, l)
            for i in range(min(skipped, len(self.scales) - 1), len(self.scales))
            for p, l_max in enumerate(which)
            for l in range(l_max + 1)
        ]


def candidate_terms(settings: SitesSettings, n_channels: int) -> list[Term]:
    """All terms that the settings allow, for so many channels.

    Fields of different channels meet in cross only, where both have p = 0, and where there are no more
    than three channels.
    """
    first = settings.wavelets(settings.first)
    plain = [w for w in first if w.p == 0]
    terms: list[Term] = []
    for channel in range(n_channels):
        fields = [Field(channel, w) for w in first]
        terms += [Term("modulus", (f,), exponent=q) for f in fields for q in settings.exponents1]
        terms += [
            Term("cross", (a, b))
            for k, a in enumerate(fields)
            for b in fields[k + 1 :]
            if a.wavelet.l == b.wavelet.l
        ]
        terms += [
            Term("cross", (Field(channel, a), Field(other, b)))
            for other in range(channel + 1, n_channels if n_channels <= MOST_MIXED else 0)
            for a in plain
            for b in plain
            if a.l == b.l
        ]
        direct = [Field(channel, w) for w in plain if w.l <= settings.triple] if settings.triple else []
        terms += [
            Term("triple", chosen)
            for chosen in combinations_with_replacement(direct, 3)
            if _couple(*(f.wavelet.l for f in chosen))
        ]
    if settings.exponents2:
        inner = settings.wavelets(settings.inner, skipped=settings.skipped)
        outer = settings.wavelets(settings.outer, skipped=settings.skipped)
        for source in (Field(channel, w) for channel in range(n_channels) for w in inner):
            for second in outer:
                terms += [Term("modulus2", (source,), second, q) for q in settings.exponents2]
                terms += [
                    Term("cross2", (source, Field(source.channel, w)), second)
                    for w in plain
                    if w.l == second.l
                ]
    return terms


def _couple(a: int, b: int, c: int) -> bool:
    """Whether the integral of three harmonics is not zero for all m."""
    return (a + b + c) % 2 == 0 and 2 * max(a, b, c) <= a + b + c


def required_degree(terms: list[Term]) -> int:
    """Degree up to which the rule over directions has to be exact (0 without triple products)."""
    return max((sum(f.wavelet.l for f in t.fields) or 1 for t in terms if t.kind == "triple"), default=0)
