from pathlib import Path

import pytest

from storage.errors import InvalidValue
from storage.settings import Settings, default_home, read_settings


def test_without_any_variable_everything_lies_under_var_of_the_checkout():
    settings = read_settings({})
    assert settings.home == default_home()
    assert settings.home == Path(__file__).parents[2] / "var"
    assert settings.database_url is None
    assert settings.tracking_uri == f"sqlite:///{settings.home}/mlflow.db"


def test_a_bento_keeps_its_data_outside_of_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = default_home(tmp_path)
    assert home.is_absolute()
    assert not home.is_relative_to(tmp_path)
    assert home.name == "tailored-promotions"


def test_a_relative_home_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert read_settings({"TAILOR_HOME": "here"}).home == tmp_path / "here"


def test_what_the_environment_says_counts():
    settings = read_settings(
        {"DATABASE_URL": "postgresql://db/x", "MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    )
    assert settings.database_url == "postgresql://db/x"
    assert settings.tracking_uri == "http://mlflow:5000"


def test_an_empty_variable_counts_as_not_set():
    assert read_settings({"DATABASE_URL": ""}).database_url is None


def test_a_misspelt_variable_is_refused_by_name():
    with pytest.raises(InvalidValue, match="unknown setting TAILOR_HOMES; known: TAILOR_HOME"):
        read_settings({"TAILOR_HOMES": "/x"})


def test_the_variables_of_serving_are_left_to_serving():
    read_settings({"TAILOR_SERVING_PORT": "1"})


def test_the_password_of_the_database_is_not_in_the_repr():
    assert "geheim" not in repr(Settings(database_url="postgresql://me:geheim@db/x"))
