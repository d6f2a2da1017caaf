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

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

from ...compute.entries import entries, keywords, numbers
from ...errors import InputError
from ..channels import Channels
from ..wavelets import Wavelet

MOST_MIXED = 3
"""With more channels than this, fields of different channels are not multiplied."""

LEAST_CUTOFF = 4.5
"""In Å: bonds of molecules are short, but what is beyond them counts."""

KINDS = ("modulus", "cross", "triple", "modulus2", "cross2")


class Field(NamedTuple):
    """A channel and the wavelet that it is convolved with.

    Parameters
    ----------
    channel : int
        Index of the channel.
    wavelet : Wavelet
        The wavelet.
    """

    channel: int
    wavelet: Wavelet


class Term(NamedTuple):
    """An invariant of an atom's surroundings.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    fields : tuple of Field
        One field for moduli; two for cross, three for triple. Of order 2 the first is the source.
    second : Wavelet, optional
        The second wavelet of order 2.
    exponent : float, optional
        The exponent q of a modulus.
    """

    kind: str
    fields: tuple[Field, ...]
    second: Wavelet | None = None
    exponent: float | None = None

    def flat(self) -> list[Any]:
        """Describe the term as a list that JSON can hold.

        Returns
        -------
        list
            Kind, fields, second wavelet and exponent.
        """
        row: list[Any] = [self.kind, [[f.channel, *_numbers(f.wavelet)] for f in self.fields]]
        row.append(None if self.second is None else _numbers(self.second))
        row.append(self.exponent)
        return row

    @classmethod
    def of_flat(cls, row: list[Any]) -> Term:
        """Read a term that `flat` described.

        Parameters
        ----------
        row : list
            What `flat` gave.

        Returns
        -------
        Term
            The same term.

        Raises
        ------
        InputError
            If the kind is unknown.
        """
        kind, fields, second, exponent = row
        if kind not in KINDS:
            raise InputError(f"unknown kind of term {kind!r}: a newer ase-scatter may know it")
        return cls(
            kind,
            tuple(_field(row) for row in numbers(fields, 2, "fields", whole=True).tolist()),
            None if second is None else Wavelet(*numbers(second, 1, "a wavelet", whole=True).tolist()),
            None if exponent is None else numbers(exponent, 0, "an exponent").item(),
        )


def _numbers(wavelet: Wavelet) -> list[int]:
    return [wavelet.scale, wavelet.p, wavelet.l]


def _field(row: list[int]) -> Field:
    return Field(row[0], Wavelet(*row[1:]))


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

    Parameters
    ----------
    scales : tuple of float
        The ladder of β in Å, ascending.
    cutoff : float
        Neighbours up to this distance (Å) count.
    switch : float, optional
        Length (Å) before the cutoff over which neighbours fade out.
    epsilon2 : float, optional
        ε², in units of the mean of U².
    first : tuple of int, optional
        Largest l of each radial order p, for order 1.
    inner, outer : tuple of int, optional
        The same for the first and the second wavelet of order 2.
    skipped : int, optional
        Number of the smallest scales that order 2 leaves out.
    triple : int, optional
        Largest l of triple products, which are of fields with p = 0; 0 leaves them out.
    exponents1, exponents2 : tuple of float, optional
        The q of the moduli of order 1 and 2; an empty `exponents2` leaves order 2 out.

    Raises
    ------
    InputError
        If lengths or exponents are not positive, the scales do not ascend, or the switch is longer than the
        cutoff.
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
        """Choose settings from the number of elements and a typical bond.

        The cutoff is twice the bond and at least `LEAST_CUTOFF`, the largest scale about half of the cutoff.
        The number of columns grows with elements and channels, so that with more elements each gets fewer
        (measured).

        Parameters
        ----------
        n_elements : int
            Number of elements.
        bond : float
            Typical distance of nearest neighbours in Å.
        **given : object
            Settings that stay as they are given.

        Returns
        -------
        SitesSettings
            The settings.
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
        """Describe the settings as JSON can hold it.

        Returns
        -------
        dict
            Name and value of each setting.
        """
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SitesSettings:
        """Read settings that `to_dict` described.

        Parameters
        ----------
        data : dict
            What `to_dict` gave.

        Returns
        -------
        SitesSettings
            The same settings.
        """
        entries(data, ("scales", "cutoff"), "settings of sites")
        return cls(**keywords(data, asdict(cls(scales=(1.0,), cutoff=5.0)), "settings of sites"))

    def wavelets(self, which: tuple[int, ...], *, skipped: int = 0) -> list[Wavelet]:
        """List wavelets of all scales.

        Parameters
        ----------
        which : tuple of int
            Largest l of each radial order p.
        skipped : int, optional
            Number of the smallest scales that are left out.

        Returns
        -------
        list of Wavelet
            By scale, then p, then l.
        """
        return [
            Wavelet(i, p, l)
            for i in range(min(skipped, len(self.scales) - 1), len(self.scales))
            for p, l_max in enumerate(which)
            for l in range(l_max + 1)
        ]


def candidate_terms(settings: SitesSettings, n_channels: int) -> list[Term]:
    """List all terms that the settings allow.

    Fields of different channels meet in cross only, where both have p = 0, and where there are no more
    than three channels.

    Parameters
    ----------
    settings : SitesSettings
        Hyperparameters.
    n_channels : int
        Number of channels.

    Returns
    -------
    list of Term
        The terms, each once.
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
    """Find the degree up to which the rule over directions has to be exact.

    Parameters
    ----------
    terms : list of Term
        The terms in use.

    Returns
    -------
    int
        0 without triple products.
    """
    return max((sum(f.wavelet.l for f in t.fields) or 1 for t in terms if t.kind == "triple"), default=0)


COST = {"modulus": 0.2, "cross": 0.2, "triple": 1.0, "modulus2": 0.6, "cross2": 0.5}
"""What a term costs beyond its fields, in arbitrary units (measured)."""


class SiteColumn(NamedTuple):
    """A term, summed over the atoms of one element.

    Parameters
    ----------
    term : Term
        The term.
    element : int
        Index of the element.
    """

    term: Term
    element: int


def label(column: SiteColumn, scales: Sequence[float], channels: Channels) -> str:
    """
    Describe a column to people.

    Parameters
    ----------
    column : SiteColumn
        The column.
    scales : sequence of float
        The ladder of β in Å.
    channels : Channels
        Names of the channels and the elements.

    Returns
    -------
    str
        One line with order, kind of term, channels, wavelets, exponent and element.
    """

    def wavelet(w: Wavelet) -> str:
        return f"β={scales[w.scale]:.3g} p={w.p} l={w.l}"

    term = column.term
    names = [f"{channels.names[f.channel]} {wavelet(f.wavelet)}" for f in term.fields]
    if term.second is not None:
        names[0] += f" → {wavelet(term.second)}"
    q = "" if term.exponent is None else f"; q={term.exponent:.3g}"
    order = 1 if term.second is None else 2
    return f"sites S{order} {term.kind}[{' · '.join(names)}{q}] at {channels.elements[column.element]}"


Key = Field | tuple[Field, Wavelet]
"""A field of order 1, or of order 2: the field and the second wavelet."""


def json_of_key(key: Key) -> list[int]:
    """
    Write a field as numbers.

    Parameters
    ----------
    key : Field or (Field, Wavelet)
        A field of order 1 or 2.

    Returns
    -------
    list of int
        Channel, scale, p and l; for order 2 also scale, p and l of the second wavelet.
    """
    field, second = (key, None) if isinstance(key, Field) else key
    row = [field.channel, *_numbers(field.wavelet)]
    return row if second is None else [*row, *_numbers(second)]


def key_of_json(flat: Sequence[int]) -> Key:
    """
    Read a field that `json_of_key` wrote.

    Parameters
    ----------
    flat : sequence of int
        Four numbers for a field of order 1, seven for one of order 2.

    Returns
    -------
    Field or (Field, Wavelet)
        The field.
    """
    row = numbers(flat, 1, "a field", whole=True).tolist()
    return _field(row) if len(row) == 4 else (_field(row[:4]), Wavelet(*row[4:]))
