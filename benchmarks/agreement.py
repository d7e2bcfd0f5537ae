"""Hold debiased CKA and LogME against other packages on shared cases.

    pip install --no-deps --target PACKAGES thingsvision==2.7.3 cka-pytorch==1.1.3
    python benchmarks/agreement.py PACKAGES

Of both packages the module that computes is loaded alone: neither needs what the rest of its package does. LogME is
held against scikit-learn's BayesianRidge, run to 1e-14 without priors on the contrasts of images.
"""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

CHECKOUT = Path(__file__).parent.parent
sys.path[:0] = [str(CHECKOUT / "src"), str(CHECKOUT / "tests")]

import numpy as np
import torch
from alike import SHARED, alike
from sklearn.linear_model import BayesianRidge

from transferability.evaluation.ridge import decompose
from transferability.evaluation.scores import best_evidence, cka, standardised


def module_of(folder: Path, name: str) -> ModuleType:
    """A module of a folder whose package is not run."""
    package = ModuleType(folder.name)
    package.__path__ = [str(folder)]
    sys.modules[folder.name] = package
    return importlib.import_module(f"{folder.name}.{name}")


def thingsvision_cka(packages: Path) -> Callable[[np.ndarray, np.ndarray], float]:
    """The unbiased linear CKA of thingsvision."""
    module = module_of(packages / "thingsvision/core/cka", "cka_numpy")
    return lambda one, other: float(module.CKANumPy(len(one), "linear", unbiased=True).compare(one, other))


def cka_pytorch(packages: Path) -> Callable[[np.ndarray, np.ndarray], float]:
    """The CKA of cka-pytorch, from its unbiased HSIC, as its calculator puts it together."""
    hsic = module_of(packages / "cka_pytorch", "hsic").hsic1

    def compare(one: np.ndarray, other: np.ndarray) -> float:
        first, second = (torch.from_numpy(features @ features.T)[None] for features in (one, other))
        return float(hsic(first, second) / torch.sqrt(hsic(first, first) * hsic(second, second)))

    return compare


def bayesian_ridge(features: np.ndarray, target: np.ndarray) -> float:
    """The largest log evidence of a centred target (N,) by centred features (N, D), by scikit-learn."""
    count = len(features)
    rows = np.linalg.qr(np.hstack([np.ones((count, 1)), np.eye(count)[:, 1:]]))[0][:, 1:].T
    flat = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0.0)
    model = BayesianRidge(max_iter=10000, tol=1e-14, fit_intercept=False, compute_score=True, **flat)
    return float(model.fit(rows @ features, rows @ target).scores_[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("packages", type=Path, help="the folder that pip has installed them in")
    packages = parser.parse_args().packages
    others = {"thingsvision": thingsvision_cka(packages), "cka-pytorch": cka_pytorch(packages)}
    for size in SHARED:
        one, other = alike(*size)
        ours = cka(one, other)
        told = ", ".join(
            f"{name} {(value := compare(one, other)):.12f} ({ours - value:.0e})" for name, compare in others.items()
        )
        print(f"CKA, {size[0]} images of {size[1]} and {size[2]} values: {ours:.12f}; {told}")
        features, target = standardised(one), (np.arange(len(one)) % 2) - 0.5
        evidence, theirs = (
            best_evidence(*decompose(features), target[:, None]).value[0],
            bayesian_ridge(features, target),
        )
        print(f"log evidence, {size[0]} images of {size[1]} values: {evidence:.9f}; scikit-learn {theirs:.9f}")


if __name__ == "__main__":
    main()
