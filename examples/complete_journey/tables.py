"""The Complete Journey tables as ours: activity, items, promotions, audiences, outcomes, ready to import.

Departments are sites, households are consumers, products are items, a coupon of a campaign is a promotion,
the households that a campaign was sent to are its audience, and redemptions are conversions.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

TABLES = ("transactions", "products", "coupons", "campaigns", "campaign_descriptions", "coupon_redemptions")

_TIME = pa.timestamp("us", tz="UTC")
_SCHEMAS: Mapping[str, dict[str, pa.DataType]] = {
    "sites": {"site_id": pa.string(), "name": pa.string()},
    "items": {name: pa.string() for name in ("site_id", "item_id", "title", "category", "attributes")},
    "activity": {
        **{name: pa.string() for name in ("consumer_id", "site_id", "item_id", "kind", "event_id")},
        "occurred_at": _TIME,
        "quantity": pa.float64(),
        "value": pa.float64(),
        "currency": pa.string(),
    },
    "promotions": {
        **{name: pa.string() for name in ("promotion_id", "title", "body", "code", "audience_id", "status")},
        "sites": pa.list_(pa.string()),
        "items": pa.list_(pa.struct([("site_id", pa.string()), ("item_id", pa.string())])),
        "starts_at": _TIME,
        "ends_at": _TIME,
    },
    "audiences": {"audience_id": pa.string(), "consumer_id": pa.string()},
    "outcomes": {
        **{name: pa.string() for name in ("consumer_id", "site_id", "kind", "event_id", "promotion_id")},
        "occurred_at": _TIME,
    },
}


@dataclass(frozen=True, eq=False)
class CompleteJourney:
    """The data set in our files' formats; each table can be written to Parquet and imported as it is.

    Attributes
    ----------
    sites : site_id, name
    items : site_id, item_id, title, category, attributes (JSON text)
    activity : consumer_id, site_id, item_id, kind (purchase), event_id, occurred_at, quantity, value,
        currency
    promotions : promotion_id (<campaign>-<coupon>), title, body, code, audience_id, status, sites, items,
        starts_at, ends_at
    audiences : audience_id, consumer_id
    outcomes : consumer_id, site_id, kind (promotion_conversion), event_id, promotion_id, occurred_at
    """

    sites: pa.Table
    items: pa.Table
    activity: pa.Table
    promotions: pa.Table
    audiences: pa.Table
    outcomes: pa.Table

    def coverage(self) -> pa.Table:
        """Which promotion covers which item: promotion_id, site_id, item_id."""
        covered = self.promotions.select(["promotion_id", "items"]).to_pandas().explode("items", True)
        pairs = pd.DataFrame(covered["items"].tolist())
        return pa.Table.from_pandas(
            pairs.assign(promotion_id=covered["promotion_id"].to_numpy()), preserve_index=False
        ).select(["promotion_id", "site_id", "item_id"])


def read_complete_journey(
    folder: Path, *, shift: timedelta = timedelta(0), until: date | None = None
) -> CompleteJourney:
    """Read the tables of `folder`.

    Times are taken as UTC. Products without a department belong to no site: their 222 purchases and 13 coupon
    rows are left out.

    Parameters
    ----------
    shift : timedelta
        Added to every time and date; whole days keep the hours as they were.
    until : date, optional
        Purchases and redemptions of this day (before the shift) and later are left out. Default: all.
    """
    raw = {name: pd.read_parquet(_existing(folder / f"{name}.parquet")) for name in TABLES}
    if until is not None:
        for name, column in (
            ("transactions", "transaction_timestamp"),
            ("coupon_redemptions", "redemption_date"),
        ):
            raw[name] = raw[name][pd.to_datetime(raw[name][column]) < pd.Timestamp(until)]
    products = raw["products"].assign(site_id=raw["products"]["department"].map(site_id_of))
    coupons = (
        raw["coupons"]
        .merge(products, on="product_id")
        .drop_duplicates(["campaign_id", "coupon_upc", "product_id"])
    )
    promotions = _promotions(coupons, raw["campaign_descriptions"], shift=shift)
    tables = {
        "sites": products[["site_id", "department"]].drop_duplicates().sort_values("site_id").rename(
            columns={"department": "name"}
        ),
        "items": _items(products),
        "activity": _activity(raw["transactions"], products, shift=shift),
        "promotions": promotions,
        "audiences": pd.DataFrame(
            {
                "audience_id": audience_id_of(raw["campaigns"]["campaign_id"]),
                "consumer_id": raw["campaigns"]["household_id"],
            }
        ),
        "outcomes": _outcomes(raw["coupon_redemptions"], promotions, shift=shift),
    }  # fmt: skip
    return CompleteJourney(**{name: _to_arrow(table, _SCHEMAS[name]) for name, table in tables.items()})


def write_import_files(journey: CompleteJourney, directory: Path) -> dict[str, Path]:
    """Write each table as `directory`/<name>.parquet and return the paths by name."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = {field.name: directory / f"{field.name}.parquet" for field in fields(journey)}
    for name, path in paths.items():
        pq.write_table(getattr(journey, name), path, compression="zstd")
    return paths


def site_id_of(department: str) -> str:
    """A department as a site id: `DRUG GM` → `drug-gm`."""
    return re.sub(r"[^a-z0-9]+", "-", department.lower()).strip("-")


def audience_id_of(campaign_id: Any) -> Any:
    """The households that a campaign was sent to: `campaign-7`."""
    return "campaign-" + campaign_id


def _items(products: pd.DataFrame) -> pd.DataFrame:
    details = products[["department", "brand", "product_type", "package_size", "manufacturer_id"]]
    return pd.DataFrame(
        {
            "site_id": products["site_id"],
            "item_id": products["product_id"],
            "title": _titles(products),
            "category": products["product_category"],
            "attributes": [
                json.dumps({name: value for name, value in row.items() if isinstance(value, str)})
                for row in details.to_dict("records")
            ],
        }
    )


def _titles(products: pd.DataFrame) -> pd.Series:
    what = products["product_type"].fillna(products["product_category"]).fillna(products["department"])
    size = products["package_size"].map(lambda size: f", {size.lower()}", na_action="ignore").fillna("")
    return what.str.split().str.join(" ").str.capitalize() + size


def _activity(transactions: pd.DataFrame, products: pd.DataFrame, *, shift: timedelta) -> pd.DataFrame:
    bought = transactions.merge(products[["product_id", "site_id"]], on="product_id")
    bought = bought.sort_values(["transaction_timestamp", "basket_id", "product_id"], kind="stable")
    return pd.DataFrame(
        {
            "consumer_id": bought["household_id"],
            "site_id": bought["site_id"],
            "item_id": bought["product_id"],
            "kind": "purchase",
            "event_id": bought["basket_id"] + "-" + bought["product_id"],
            "occurred_at": _utc(bought["transaction_timestamp"], shift),
            "quantity": bought["quantity"],
            "value": bought["sales_value"],
            "currency": "USD",
        }
    )


def _promotions(coupons: pd.DataFrame, campaigns: pd.DataFrame, *, shift: timedelta) -> pd.DataFrame:
    keys = ["campaign_id", "coupon_upc"]
    coupons = coupons.sort_values([*keys, "site_id", "product_id"])
    coupons = coupons.assign(item=coupons[["site_id", "product_id"]].rename(
        columns={"product_id": "item_id"}).to_dict("records"))  # fmt: skip
    grouped = coupons.groupby(keys, sort=True)
    promotions = pd.DataFrame(
        {
            "items": grouped["item"].agg(list),
            "sites": grouped["site_id"].agg(lambda sites: sorted(set(sites))),
            "main_site": grouped["site_id"].agg(lambda sites: sites.mode().iloc[0]),
            "category": grouped["product_category"].agg(_commonest),
        }
    ).reset_index()
    promotions = promotions.merge(campaigns, on="campaign_id")
    category = promotions["category"].str.capitalize()
    return promotions.assign(
        promotion_id=promotion_id_of(promotions),
        title="Save on {item.title}",
        body=category + ": a coupon for " + promotions["items"].map(_count) + ", such as {item.title}.",
        code=promotions["coupon_upc"],
        audience_id=audience_id_of(promotions["campaign_id"]),
        status="active",
        starts_at=_utc(promotions["start_date"], shift),
        # The last day counts in full.
        ends_at=_utc(promotions["end_date"], shift + timedelta(days=1)),
    )


def promotion_id_of(rows: pd.DataFrame) -> "pd.Series[str]":
    """A coupon of a campaign: `<campaign>-<coupon>`."""
    return rows["campaign_id"] + "-" + rows["coupon_upc"]


def _outcomes(redemptions: pd.DataFrame, promotions: pd.DataFrame, *, shift: timedelta) -> pd.DataFrame:
    redeemed = redemptions.assign(promotion_id=promotion_id_of(redemptions))
    redeemed = redeemed.merge(promotions[["promotion_id", "main_site"]], on="promotion_id")
    redeemed = redeemed.sort_values(["redemption_date", "household_id", "promotion_id"], kind="stable")
    day = redeemed["redemption_date"].astype(str)
    return pd.DataFrame(
        {
            "consumer_id": redeemed["household_id"],
            "site_id": redeemed["main_site"],
            "kind": "promotion_conversion",
            "event_id": redeemed["household_id"] + "-" + redeemed["promotion_id"] + "-" + day,
            "promotion_id": redeemed["promotion_id"],
            # Only the day is known.
            "occurred_at": _utc(redeemed["redemption_date"], shift + timedelta(hours=12)),
        }
    )


def _commonest(categories: "pd.Series[str]") -> str:
    known = categories.mode()
    return "Many things" if known.empty else str(known.iloc[0])


def _count(items: list[Any]) -> str:
    return "one product" if len(items) == 1 else f"{len(items):,} products"


def _utc(times: pd.Series, shift: timedelta) -> pd.Series:
    return (pd.to_datetime(times) + shift).dt.tz_localize("UTC")


def _to_arrow(table: pd.DataFrame, columns: dict[str, pa.DataType]) -> pa.Table:
    return pa.Table.from_pandas(table[list(columns)], schema=pa.schema(columns), preserve_index=False)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; give the folder of the Complete Journey tables: {', '.join(TABLES)}"
        )
    return path
