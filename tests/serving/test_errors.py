from collections.abc import Iterator
from http import HTTPStatus

import pytest

import features.errors
import models.errors
import serving.errors
import storage.errors
from serving.errors import STATUS, problem_of, status_of

ROOTS = (
    storage.errors.StorageError,
    features.errors.FeaturesError,
    models.errors.ModelsError,
    serving.errors.ServingError,
)


def tree(root: type[Exception]) -> Iterator[type[Exception]]:
    for child in root.__subclasses__():
        yield child
        yield from tree(child)


@pytest.mark.parametrize(
    "kind", [kind for root in ROOTS for kind in tree(root)], ids=lambda kind: kind.__name__
)
def test_every_domain_error_has_a_status(kind: type[Exception]) -> None:
    named = [ancestor for ancestor in kind.__mro__ if ancestor in STATUS]
    assert named, f"{kind.__name__} has no status in serving/errors.py"


@pytest.mark.parametrize("kind", STATUS, ids=lambda kind: kind.__name__)
def test_every_status_belongs_to_an_error_that_exists(kind: type[Exception]) -> None:
    assert issubclass(kind, ROOTS)


def test_a_problem_says_what_and_why() -> None:
    error = storage.errors.UnknownSite("bokos", known=["books", "music"])
    status = status_of(error)
    assert status == HTTPStatus.NOT_FOUND
    assert problem_of(error, status=status) == {
        "type": "urn:tailored-promotions:problem:unknown-site",
        "title": "Unknown site",
        "status": 404,
        "detail": "unknown site 'bokos'; known sites: books, music",
    }


def test_an_error_of_somebody_else_has_no_status() -> None:
    assert status_of(KeyError("x")) is None
