"""Which products of the demo's data the shops sell, at which price, and what the network is told of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from examples.shops.shelves import Brand, Kind, Shelf
from storage.database import Connection
from storage.items import Item, upsert_items
from storage.promotions import Promotion, upsert_promotions
from storage.subscribers import add_site

#: Where the shops show a promotion; their offers are for it alone, and the data's coupons stay as they are.
PLACEMENT = "storefront"

LARGEST_PACK = {"lb": 10.0, "ct": 20.0}
UNITS = {"ga": "gal", "dz": "dozen", "doz": "dozen", "pt": "pint", "qt": "quart"}


@dataclass(frozen=True, slots=True)
class Product:
    """Something on a shelf; `bought` is how often households did in the data's year."""

    item_id: str
    title: str
    size: str | None
    price: float
    bought: int
    shelf: Shelf
    kind: Kind
    attributes: Mapping[str, Any] = field(repr=False)


def find_stock(connection: Connection, brand: Brand) -> list[Product]:
    """Return the most bought products of each kind, shelf by shelf, most bought first."""
    found = connection.execute(_MOST_BOUGHT, {"site": brand.site_id}).fetchall()
    by_type: dict[str, list[tuple[str, Mapping[str, Any], int, float]]] = {}
    for item_id, attributes, bought, price in found:
        by_type.setdefault(attributes.get("product_type"), []).append((item_id, attributes, bought, price))
    products = []
    for shelf in brand.shelves:
        on_shelf = []
        for kind in shelf.kinds:
            sizes: set[str | None] = set()
            for item_id, attributes, bought, price in by_type.get(kind.product_type, ()):
                size = readable_size(attributes.get("package_size"))
                # Two products that look the same to a customer are one too many.
                if size not in sizes and len(sizes) < kind.at_most and not (sizes and size is None):
                    sizes.add(size)
                    title = f"{kind.name}, {size}" if size and brand.sells_sizes else kind.name
                    on_shelf.append(Product(item_id, title, size, price, bought, shelf, kind, attributes))
        products += sorted(on_shelf, key=lambda one: -one.bought)
    return products


def readable_size(size: str | None) -> str | None:
    """A package's size as a customer reads it; None for one that is none, or is that of a shop's case.

    Examples
    --------
    >>> readable_size("1 GA"), readable_size("L     8 OZ"), readable_size("40 LB")
    ('1 gal', '8 oz', None)
    """
    found = re.fullmatch(r"(?:[A-Z] +)*(\d+(?:\.\d+)?) *([A-Z]+(?: FT)?)", (size or "").strip())
    if found is None:
        return None
    amount, unit = float(found[1]), found[2].lower()
    if amount > LARGEST_PACK.get(unit, 1_000.0):
        return None
    return f"{amount:g} {UNITS.get(unit, unit)}"


def tell_network(
    connection: Connection, brand: Brand, products: Sequence[Product], *, origin: str
) -> list[Promotion]:
    """Give the products their names, pages and pictures, and enter an offer for every shelf."""
    add_site(connection, brand.site_id, name=brand.name)
    upsert_items(
        connection,
        [
            Item(
                brand.site_id,
                product.item_id,
                title=product.title,
                category=product.shelf.name,
                image_url=f"{origin}{image_path(product.item_id)}",
                url=f"{origin}{page_path(product.item_id)}",
                attributes=product.attributes,
            )
            for product in products
        ],
    )
    offers = [
        Promotion(
            f"{brand.site_id}-{shelf.slug}",
            shelf.offer,
            body=shelf.promise,
            code=shelf.slug.split("-", maxsplit=1)[0].upper() + "17",
            subscriber_id=brand.site_id,
            sites=(brand.site_id,),
            items=tuple((brand.site_id, one.item_id) for one in products if one.shelf is shelf),
            placements=(PLACEMENT,),
        )
        for shelf in _shelves_of(products)
    ]
    upsert_promotions(connection, offers)
    return offers


def page_path(item_id: str) -> str:
    """Where a product's page is in its shop."""
    return f"/product/{item_id}"


def image_path(item_id: str) -> str:
    """Where a product's picture is in its shop."""
    return f"/image/{item_id}.svg"


def _shelves_of(products: Iterable[Product]) -> list[Shelf]:
    return list({product.shelf.slug: product.shelf for product in products}.values())


# The price is what one piece cost half of the buyers at most.
_MOST_BOUGHT = """
SELECT i.item_id, i.attributes, count(*),
       round((percentile_cont(0.5) WITHIN GROUP
                  (ORDER BY a.value / greatest(a.quantity, 1)))::numeric, 2)::float
FROM activity a JOIN item i USING (site_id, item_id)
WHERE a.site_id = %(site)s AND a.kind = 'purchase' AND a.value > 0
GROUP BY 1, 2
ORDER BY 3 DESC, 1
"""
