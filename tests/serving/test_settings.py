import pytest

from serving.settings import ServingSettings, read_serving_settings


def test_every_setting_has_a_value_that_works() -> None:
    assert read_serving_settings({"PATH": "/bin", "TAILOR_HOME": "/srv"}) == ServingSettings()


def test_a_setting_is_read_from_the_environment() -> None:
    read = read_serving_settings(
        {"TAILOR_SERVING_READ_TIMEOUT_S": "0.25", "TAILOR_SERVING_WATCH_CHAMPION": "false"}
    )
    assert (read.read_timeout_s, read.watch_champion) == (0.25, False)


def test_an_unknown_setting_fails_with_its_name() -> None:
    with pytest.raises(
        ValueError, match=r"unknown setting TAILOR_SERVING_READ_TIMEOUT; known .*READ_TIMEOUT_S"
    ):
        read_serving_settings({"TAILOR_SERVING_READ_TIMEOUT": "1"})


@pytest.mark.parametrize("value", ["0", "-1", "soon", ""])
def test_a_wait_that_is_no_length_of_time_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="read_timeout_s"):
        read_serving_settings({"TAILOR_SERVING_READ_TIMEOUT_S": value})
