"""What an operator can set about serving: environment variables that start with TAILOR_SERVING_."""

import os
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

PREFIX = "TAILOR_SERVING_"


class ServingSettings(BaseModel):
    """Limits and waits of one serving process; each field is read from `TAILOR_SERVING_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read_timeout_s: float = Field(1.0, gt=0, description="longest wait for a consumer's activity")
    write_timeout_s: float = Field(3.0, gt=0, description="longest wait for a write or a list to finish")
    read_connections: int = Field(4, ge=1, description="database connections that decisions read through")
    write_connections: int = Field(
        4, ge=1, description="database connections that activity is written through"
    )
    max_in_flight: int = Field(
        64, ge=1, description="decisions, and as many other calls, under way at once in a worker; then 503"
    )
    rate_per_key: float = Field(
        5000.0, ge=0, description="requests a second of a key to a worker, ten seconds' worth at once; 0: any"
    )
    rate_per_address: float = Field(
        100.0, ge=0, description="the same of an address without a secret key; 0: any"
    )
    trusted_proxies: int = Field(
        0, ge=0, le=10, description="proxies before the service: whom X-Forwarded-For is believed of"
    )
    log_every: int = Field(0, ge=0, description="every so many decisions one is logged, as JSON; 0: none is")
    retry_after_s: int = Field(2, ge=1, description="what Retry-After says while the service cannot answer")
    refresh_s: float = Field(
        10.0, gt=0, description="re-read of the catalogue and the champion log, missed notes or not"
    )
    reconnect_s: float = Field(0.5, gt=0, description="pause between two tries to reach the database")
    watch_champion: bool = Field(True, description="start the process that follows the alias in MLflow")
    champion_poll_s: float = Field(1.0, gt=0, description="pause between two looks at the alias in MLflow")
    upkeep_s: float = Field(
        1800.0,
        ge=0,
        description="pause between two looks for files after erasures and old activity to tidy up; 0: never",
    )
    token_days: int = Field(30, ge=1, le=395, description="how long an outcome may come back with its token")
    max_promotions: int = Field(50, ge=1, le=500, description="most promotions in one answer (`n`)")
    public_url: str = Field(
        "",
        pattern=r"^(https?://[^/\s]+)?$",
        description="address of the service for browsers; default: as asked",
    )
    max_reasons: int = Field(5, ge=1, le=50, description="most reasons told with one promotion")

    min_consumers: int = Field(
        5, ge=1, description="a site or item of others with fewer consumers is named in no reason"
    )


def read_serving_settings(environ: Mapping[str, str] = os.environ) -> ServingSettings:
    """Read the settings of serving from an environment.

    Raises
    ------
    ValueError : a `TAILOR_SERVING_` variable that does not exist, or a value that cannot be used; says which.
    """
    given = {name: value for name, value in environ.items() if name.upper().startswith(PREFIX)}
    fields = {name.upper().removeprefix(PREFIX).lower(): value for name, value in given.items()}
    unknown = sorted(
        f"{PREFIX}{name.upper()}" for name in fields.keys() - ServingSettings.model_fields.keys()
    )
    if unknown:
        known = ", ".join(f"{PREFIX}{name.upper()}" for name in ServingSettings.model_fields)
        raise ValueError(f"unknown setting {', '.join(unknown)}; known settings: {known}")
    return ServingSettings.model_validate(fields)
