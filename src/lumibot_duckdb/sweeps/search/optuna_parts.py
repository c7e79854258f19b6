"""Optuna's samplers and pruners by name, and a study that holds them."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lumibot_duckdb.sweeps.search.errors import SearchError, did_you_mean
from lumibot_duckdb.sweeps.search.set_option import parsed_value

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

SAMPLERS = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "qmc": "QMCSampler",
    "nsgaii": "NSGAIISampler",
    "random": "RandomSampler",
}
PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "patient": "PatientPruner",
    "threshold": "ThresholdPruner",
}
_PACKAGES = {"gp": ("torch", "scipy"), "cmaes": ("cmaes",)}
"""What a sampler needs besides Optuna."""

_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # Workers ask before the others' results are known, which a constant liar accounts for.
    "tpe": {"constant_liar": True},
    "cmaes": {"warn_independent_sampling": False},
    # Without scrambling, the seed would change nothing.
    "qmc": {"scramble": True, "warn_independent_sampling": False, "warn_asynchronous_seeding": False},
    "gp": {"warn_independent_sampling": False},
    "percentile": {"percentile": 25.0},
    "patient": {"wrapped_pruner": None},
}
_PLAIN = re.compile(r"(int|float|bool|str|None|Optional|Union|typing|[\s|,.\[\]'\"])+")
"""The types of options that can be given as a text."""


def optuna_library() -> Any:
    """Return the library.

    Raises:
        SearchError: It is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise SearchError("Optuna is not installed; pip install 'lumibot-duckdb[optuna]'") from None
    return optuna


def new_study(pruner: BasePruner) -> Study:
    """Return a study in memory, which maximises. Objectives that are minimised change their sign."""
    optuna = optuna_library()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # no line about the new study
    try:
        study: Study = optuna.create_study(direction="maximize", pruner=pruner, study_name="sweep")
    finally:
        optuna.logging.set_verbosity(verbosity)
    return study


def sampler_of(sampler: str | BaseSampler, seed: int) -> BaseSampler:
    """Return the sampler of a text such as `tpe:n_startup_trials=20`; a sampler is returned unchanged.

    Raises:
        SearchError: The name or an option is unknown, or a package is not installed.
    """
    if not isinstance(sampler, str):
        return sampler
    name, options = _name_and_options(sampler, "sampler", SAMPLERS)
    if missing := [package for package in _PACKAGES.get(name, ()) if find_spec(package) is None]:
        raise SearchError(f"the sampler {name} needs {' and '.join(missing)}; pip install {' '.join(missing)}")
    found: BaseSampler = _made(sampler, name, getattr(optuna_library().samplers, SAMPLERS[name]), options, seed=seed)
    return found


def pruner_of(pruner: str | BasePruner) -> BasePruner:
    """Return the pruner of a text such as `threshold:lower=0.8`; a pruner is returned unchanged.

    Raises:
        SearchError: The name or an option is unknown.
    """
    if not isinstance(pruner, str):
        return pruner
    name, options = _name_and_options(pruner, "pruner", PRUNERS)
    found: BasePruner = _made(pruner, name, getattr(optuna_library().pruners, PRUNERS[name]), options)
    return found


def _name_and_options(text: str, kind: str, known: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    name, _, given = text.partition(":")
    name = name.strip().casefold()
    if name not in known:
        raise SearchError(f"unknown {kind} {name}{did_you_mean(name, known)}")
    options: dict[str, Any] = {}
    for part in filter(None, given.split(",")):
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise SearchError(f"{text}: expected NAME=VALUE instead of {part}, as in {name}:option=5")
        options[option] = parsed_value(value)
    return name, options


def _made(text: str, name: str, kind: type, options: Mapping[str, Any], **fixed: Any) -> Any:
    """Return an object of a class of Optuna."""
    allowed = _plain_options(kind, fixed)
    for option, value in options.items():
        if option not in allowed:
            raise SearchError(f"{text}: {name} has no option {option}{did_you_mean(option, allowed)}")
        if not _accepts(allowed[option], value):
            raise SearchError(f"{text}: {option} must be {allowed[option]}, not {value!r}")
    accepted = inspect.signature(kind).parameters
    defaults = {key: value for key, value in _DEFAULTS.get(name, {}).items() if key in accepted}
    given = {**defaults, **options, **fixed}
    for option, parameter in accepted.items():
        if parameter.default is parameter.empty and option not in given:
            raise SearchError(f"{text}: {name} needs {option}, as in {name}:{option}=5")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an option is experimental
            return kind(**given)
    except (TypeError, ValueError, AssertionError) as error:
        raise SearchError(f"{text}: {error}") from None


def _plain_options(kind: type, fixed: Mapping[str, Any]) -> dict[str, str]:
    """Return the type of each option that takes a number, a text, true, false or null."""
    types = {
        name: parameter.annotation
        if isinstance(parameter.annotation, str)
        else inspect.formatannotation(parameter.annotation)
        for name, parameter in inspect.signature(kind).parameters.items()
        if name not in fixed
    }
    return {name: text.strip("'") for name, text in types.items() if _PLAIN.fullmatch(text)}


def _accepts(kinds: str, value: Any) -> bool:
    """Return whether one of the types that an annotation names is that of a value."""
    if value is None:
        return "None" in kinds or "Optional" in kinds
    name = type(value).__name__
    return re.search(rf"\b{name}\b", kinds) is not None or (name == "int" and "float" in kinds)
