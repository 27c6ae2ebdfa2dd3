"""Whether decisions can be made, and why not."""

from datetime import UTC, datetime

import msgspec

from serving.answer import ModelInfo
from serving.errors import ServingError
from serving.runtime import Runtime
from storage.errors import StorageError


class CatalogueHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The catalogue that this worker decides from."""

    age_s: float
    sites: int
    promotions: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`ready`: this worker can decide now; `reasons` tells what is missing or not as it should be."""

    ready: bool
    reasons: list[str]
    database: bool
    catalogue: CatalogueHealth | None
    champion: ModelInfo | None


async def examine(runtime: Runtime) -> Health:
    """Look at the database, the catalogue and the champion."""
    reasons: list[str] = []
    database = True
    try:
        await runtime.run_own(lambda connection: connection.execute("SELECT 1"))
    except (StorageError, ServingError) as error:
        database = False
        reasons.append(str(error))
    if not runtime.ready:
        if runtime.why_not not in reasons:
            reasons.append(runtime.why_not)
        return Health(ready=False, reasons=reasons, database=database, catalogue=None, champion=None)
    view = runtime.view
    if view.model_problem is not None:
        reasons.append(view.model_problem)
    elif view.model is None:
        reasons.append("no model serves yet: `tailor train`, then `tailor promote`")
    catalogue = CatalogueHealth(
        age_s=round((datetime.now(UTC) - view.state.read_at).total_seconds(), 3),
        sites=len(view.catalogue.sites),
        promotions=len(view.catalogue.promotions),
    )
    return Health(
        ready=database,
        reasons=reasons,
        database=database,
        catalogue=catalogue,
        champion=None if view.model is None else view.model.info,
    )
