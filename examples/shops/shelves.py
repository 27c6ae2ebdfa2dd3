"""What the two shops sell, in the customer's words: shelves, the kinds of product on them, and their offers.

A kind is a `product_type` of the data; which products of it are sold, at which price, is in the data.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Kind:
    """Products of one type: how they are called and drawn, and how many of them are on the shelf."""

    product_type: str
    name: str
    shape: str
    colour: str
    at_most: int = 2


@dataclass(frozen=True, slots=True)
class Shelf:
    """A page of the shop; `offer` is its promotion, of which `{item.title}` becomes the featured product."""

    slug: str
    name: str
    tint: str
    offer: str
    promise: str
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Brand:
    """A shop: the site it is in the network, its name and looks, and its shelves.

    One with `server_mode` leads a path of its own to the service, which then keeps the visitor's cookie.
    """

    site_id: str
    name: str
    motto: str
    welcome: str
    house_offer: str
    shelves: tuple[Shelf, ...] = field(repr=False)
    sells_sizes: bool = True
    server_mode: bool = False


LARDER = Brand(
    site_id="grocery",
    name="The Larder",
    motto="Everyday grocery, since last Tuesday",
    welcome="What is for dinner?",
    house_offer="Baked this morning, gone by noon.",
    shelves=(
        Shelf(
            "dairy",
            "Milk & eggs",
            "#7fb2dd",
            "Rise and shine: 15% off {item.title}",
            "For breakfasts that take their time.",
            (
                Kind("FLUID MILK WHITE ONLY", "Milk", "carton", "#4f93d2"),
                Kind("CHOCOLATE MILK", "Chocolate milk", "carton", "#8a5a3c", 1),
                Kind("EGGS - LARGE", "Large eggs", "eggs", "#ecd2b2"),
                Kind("EGGS - X-LARGE", "Extra large eggs", "eggs", "#d9a67c", 1),
                Kind("YOGURT NOT MULTI-PACKS", "Yogurt", "tub", "#e58aa8"),
                Kind("SOUR CREAMS", "Sour cream", "tub", "#6fa8d8", 1),
                Kind("COTTAGE CHEESE", "Cottage cheese", "tub", "#58b29a", 1),
            ),
        ),
        Shelf(
            "cheese",
            "Cheese",
            "#f0c04f",
            "Buy one, get one: {item.title}",
            "It melts. So will you.",
            (
                Kind("SHREDDED CHEESE", "Shredded cheese", "bag", "#f0a830"),
                Kind("IWS SINGLE CHEESE", "Cheese singles", "slices", "#f7b733", 1),
                Kind("NATURAL CHEESE EXACT WT CHUNKS", "Cheddar", "wedge", "#f3b73c"),
                Kind("CREAM CHEESE", "Cream cheese", "tub", "#6c9bd9", 1),
                Kind("STRING CHEESE", "String cheese", "sticks", "#f8e3a8", 1),
            ),
        ),
        Shelf(
            "bakery",
            "Bread & buns",
            "#dcae74",
            "Fresh from the oven: 20% off {item.title}",
            "The crust is the best part.",
            (
                Kind("MAINSTREAM WHITE BREAD", "White bread", "loaf", "#dba763"),
                Kind("MAINSTREAM WHEAT/MULTIGRAIN BR", "Whole wheat bread", "loaf", "#b47b45"),
                Kind("HAMBURGER BUNS", "Hamburger buns", "bun", "#dca35c", 1),
                Kind("HOT DOG BUNS", "Hot dog buns", "bun", "#e2b676", 1),
                Kind("BAGELS", "Bagels", "bagel", "#cf9a57", 1),
            ),
        ),
        Shelf(
            "breakfast",
            "Breakfast",
            "#f2a65e",
            "Good morning: $1 off {item.title}",
            "Also good at midnight.",
            (
                Kind("KIDS CEREAL", "Honey loops", "box", "#e8623d"),
                Kind("ALL FAMILY CEREAL", "Corn flakes", "box", "#3f8f5b"),
                Kind("ADULT CEREAL", "Bran flakes & raisins", "box", "#6b5aa8"),
                Kind("TOASTER PASTRIES", "Toaster pastries", "box", "#d95f8c", 1),
                Kind("GRANOLA BARS", "Granola bars", "box", "#a9763f", 1),
                Kind("GROUND COFFEE", "Ground coffee", "cup", "#b5533c"),
            ),
        ),
        Shelf(
            "snacks",
            "Chips & crackers",
            "#ef8f6b",
            "Movie night: $1 off {item.title}",
            "Sharing is optional.",
            (
                Kind("POTATO CHIPS", "Potato chips", "bag", "#e2b32d"),
                Kind("TORTILLA/NACHO CHIPS", "Tortilla chips", "bag", "#d8432f"),
                Kind("PRETZELS", "Pretzels", "bag", "#9c6437", 1),
                Kind("BUTTER SPRAY CRACKER (RITZ/CLU", "Butter crackers", "box", "#c8332f", 1),
                Kind("SANDWICH COOKIES", "Sandwich cookies", "cookie", "#8b5a36", 1),
                Kind("TRAY PACK/CHOC CHIP COOKIES", "Chocolate chip cookies", "cookie", "#cf9a57", 1),
            ),
        ),
        Shelf(
            "taco-night",
            "Taco night",
            "#f0b451",
            "Taco night: 25% off {item.title}",
            "Tuesday is a state of mind.",
            (
                Kind("MEXICAN SAUCESSALSAPICANTEE", "Salsa", "jar", "#cf3a2b"),
                Kind("MEXICAN SEASONING MIXES", "Taco seasoning", "bag", "#d8752f", 1),
                Kind("MEXICAN TACO TOSTADO SHELLS", "Taco shells", "taco", "#f0c15a"),
                Kind("MEXICAN BEANS REFRIED", "Refried beans", "can", "#9a4a2f", 1),
                Kind("MEXICAN SOFT TORTILLAS AND WRA", "Soft tortillas", "tortillas", "#f3dfb0", 1),
            ),
        ),
        Shelf(
            "pasta",
            "Pasta & sauces",
            "#e5725c",
            "Dinner in twelve minutes: 20% off {item.title}",
            "Al dente, every time.",
            (
                Kind("SPAGHETTI DRY", "Spaghetti", "pasta", "#f0cb6d"),
                Kind("MACARONI & CHEESE DNRS", "Macaroni & cheese", "box", "#f0932f"),
                Kind("MAINSTREAM", "Pasta sauce", "jar", "#c23a2c"),
                Kind("TOMATO SAUCE", "Tomato sauce", "can", "#c8332f", 1),
                Kind("CONDENSED SOUP", "Tomato soup", "can", "#d8432f"),
            ),
        ),
        Shelf(
            "dressings",
            "Dressings",
            "#8fc07a",
            "A little extra: half price on {item.title}",
            "For salads, fries and mistakes.",
            (
                Kind("POURABLE SALAD DRESSINGS", "Salad dressing", "bottle", "#e0c86a"),
                Kind("SEMI-SOLID SALAD DRESSING MAY", "Mayonnaise", "jar", "#7fb2dd"),
                Kind("CATSUP", "Ketchup", "bottle", "#cf2f27", 1),
                Kind("BBQ SAUCE", "Barbecue sauce", "bottle", "#6e2f20", 1),
                Kind("CROUTONS SALAD TOPPERS BREAD", "Croutons", "bag", "#c99452", 1),
            ),
        ),
        Shelf(
            "baking",
            "Baking",
            "#e79ab4",
            "Lick the spoon: 30% off {item.title}",
            "Calories do not count while it is dough.",
            (
                Kind("LAYER CAKE MIX", "Cake mix", "cake", "#e88aa6"),
                Kind("FROSTING", "Frosting", "tub", "#c86fa0", 1),
                Kind("BROWNIE MIX", "Brownie mix", "box", "#6b4028", 1),
                Kind("BITS & MORSELS", "Chocolate chips", "bag", "#7a4a2f", 1),
                Kind("PEANUT BUTTER", "Peanut butter", "jar", "#c78a45"),
                Kind("AEROSOL TOPPINGS", "Whipped cream", "can", "#5a9bd5", 1),
            ),
        ),
        Shelf(
            "drinks",
            "Drinks",
            "#6fc0bd",
            "Stay cool: 3 for 2 on {item.title}",
            "Best served with ice and company.",
            (
                Kind("SOFT DRINKS 12/18&15PK CAN CAR", "Cola", "cans", "#c8272d"),
                Kind("SFT DRNK 2 LITER BTL CARB INCL", "Lemonade", "bottle", "#6fae45"),
                Kind("DAIRY CASE 100% PURE JUICE - O", "Orange juice", "carton", "#f0932f"),
                Kind("APPLE JUICE & CIDER (OVER 50%", "Apple juice", "bottle", "#c99a2e", 1),
                Kind("SPRING WATER", "Spring water", "bottle", "#5fb0e0", 1),
            ),
        ),
        Shelf(
            "frozen",
            "Frozen",
            "#a7b9e6",
            "From the deep: $2 off {item.title}",
            "Emergency dinners and emergency desserts.",
            (
                Kind("PIZZA/TRADITIONAL", "Pizza", "pizza", "#d8432f"),
                Kind("PIZZA/PREMIUM", "Stone oven pizza", "pizza", "#b8352a", 1),
                Kind("TRADITIONAL", "Vanilla ice cream", "icecream", "#efd391"),
                Kind("FRZN BAGGED VEGETABLES - PLAIN", "Frozen vegetables", "bag", "#4e9a45"),
            ),
        ),
    ),
)  # fmt: skip

BARROW = Brand(
    site_id="produce",
    name="Green Barrow",
    motto="Fruit and vegetables, straight off the cart",
    welcome="Eat the rainbow.",
    house_offer="Picked yesterday. Yours today.",
    sells_sizes=False,
    server_mode=True,
    shelves=(
        Shelf(
            "tropical",
            "Tropical fruit",
            "#f3d05a",
            "A little sunshine: 20% off {item.title}",
            "Travelled far to meet you.",
            (
                Kind("BANANAS", "Bananas", "banana", "#f4cf3f", 1),
                Kind("PINEAPPLE WHOLE&PEEL/CORED", "Pineapple", "pineapple", "#f0b93a", 1),
                Kind("KIWI FRUIT", "Kiwi", "kiwi", "#9bc53d", 1),
                Kind("MANGO", "Mango", "mango", "#f4a534", 1),
            ),
        ),
        Shelf(
            "taco-garden",
            "For tacos",
            "#b9d26f",
            "Taco night, the green half: 25% off {item.title}",
            "Guacamole is always worth extra.",
            (
                Kind("AVOCADO", "Avocado", "avocado", "#7fa640", 1),
                Kind("ROMA TOMATOES (BULK/PKG)", "Roma tomatoes", "tomato", "#d8402f", 1),
                Kind("LIMES", "Limes", "citrus", "#7cb342", 1),
                Kind("PEPPERS JALAPENO", "Jalapeños", "pepper", "#3c8d3f", 1),
                Kind("HERBS CILANTO", "Cilantro", "herbs", "#5aa148", 1),
                Kind("ONIONS WHITE (BULK&BAG)", "White onions", "onion", "#efe6d2", 1),
            ),
        ),
        Shelf(
            "berries",
            "Berries & cherries",
            "#ee8fa3",
            "The sweet ones: 2 for 1 on {item.title}",
            "Perfect on cake. Gone before the cake.",
            (
                Kind("STRAWBERRIES", "Strawberries", "strawberry", "#e2363f", 1),
                Kind("BLUEBERRIES", "Blueberries", "berries", "#4a62b5", 1),
                Kind("RASPBERRIES", "Raspberries", "cluster", "#d6406a", 1),
                Kind("CHERRIES RED", "Cherries", "cherries", "#b71f3a", 1),
            ),
        ),
        Shelf(
            "grapes-apples",
            "Apples & grapes",
            "#d9808a",
            "An apple a day: $1 off {item.title}",
            "Crunch included.",
            (
                Kind("APPLES GALA (BULK&BAG)", "Gala apples", "round", "#d9483b", 1),
                Kind("APPLES GRANNY SMITH (BULK&BAG)", "Granny Smith apples", "round", "#8bbf45", 1),
                Kind("APPLES GOLD DELICIOUS (BULK&BA", "Golden Delicious apples", "round", "#e6c44a", 1),
                Kind("PEARS BARTLETT", "Bartlett pears", "pear", "#b9c94a", 1),
                Kind("GRAPES RED", "Red grapes", "cluster", "#8a3a63", 1),
                Kind("GRAPES WHITE", "White grapes", "cluster", "#9dbf4f", 1),
            ),
        ),
        Shelf(
            "citrus",
            "Citrus",
            "#f6b04e",
            "Squeeze the day: 15% off {item.title}",
            "Vitamin C with a peel.",
            (
                Kind("ORANGES NAVELS ALL", "Navel oranges", "citrus", "#f5932f", 1),
                Kind("LEMONS", "Lemons", "citrus", "#f3cf3c", 1),
                Kind("GRAPEFRUIT", "Grapefruit", "citrus", "#ee7a5c", 1),
                Kind("CLEMENTINES", "Clementines", "citrus", "#f07f22", 1),
            ),
        ),
        Shelf(
            "melons",
            "Melons & peaches",
            "#f09a7d",
            "Picnic weather: 20% off {item.title}",
            "Napkins recommended.",
            (
                Kind("WATERMELON SEEDLESS WHOLE", "Watermelon", "melon", "#ee5a5a", 1),
                Kind("CANTALOUPE WHOLE", "Cantaloupe", "melon", "#f4a259", 1),
                Kind("PEACHES YELLOW FLESH", "Peaches", "round", "#f2a25c", 1),
                Kind("PLUMS", "Plums", "round", "#7a4a8c", 1),
            ),
        ),
        Shelf(
            "salad",
            "Salad",
            "#a9d07c",
            "Crisp: 30% off {item.title}",
            "Your dressing has been waiting for this.",
            (
                Kind("REGULAR GARDEN", "Garden salad", "bag", "#6aa84f", 1),
                Kind("BLENDS", "Spring mix", "bag", "#4e8f5a", 1),
                Kind("HEAD LETTUCE", "Iceberg lettuce", "lettuce", "#a3cf6a", 1),
                Kind("VARIETY LETTUCE", "Romaine", "lettuce", "#7db84f", 1),
                Kind("SALAD SPINACH", "Baby spinach", "herbs", "#4a8f45", 1),
                Kind("CUCUMBERS", "Cucumbers", "cucumber", "#4c9a4a", 1),
            ),
        ),
        Shelf(
            "burger-garden",
            "For burgers",
            "#ec8768",
            "Build it higher: 20% off {item.title}",
            "The part that makes it a meal.",
            (
                Kind("TOMATOES HOTHOUSE ON THE VINE", "Tomatoes on the vine", "tomato", "#dc3b2f", 1),
                Kind("ONIONS SWEET (BULK&BAG)", "Sweet onions", "onion", "#e0a64e", 1),
                Kind("ONIONS RED (BULK&BAG)", "Red onions", "onion", "#9a4a73", 1),
                Kind("PEPPERS RED BELL", "Red bell pepper", "pepper", "#d23a2e", 1),
                Kind("PEPPERS GREEN BELL", "Green bell pepper", "pepper", "#3f9b47", 1),
                Kind("MUSHROOMS WHITE SLICED PKG", "Mushrooms", "mushroom", "#d9c5ab", 1),
                Kind("GARLIC WHOLE CLOVES", "Garlic", "onion", "#efe3d6", 1),
            ),
        ),
        Shelf(
            "roots",
            "Potatoes & carrots",
            "#e3a866",
            "Down to earth: 3 for 2 on {item.title}",
            "Mash, roast or crunch.",
            (
                Kind("POTATOES RUSSET (BULK&BAG)", "Russet potatoes", "potato", "#b9854f", 1),
                Kind("POTATOES SWEET&YAMS", "Sweet potatoes", "potato", "#d9734a", 1),
                Kind("POTATOES RED (BULK&BAG)", "Red potatoes", "potato", "#c2635a", 1),
                Kind("CARROTS MINI PEELED", "Baby carrots", "carrot", "#f08430", 1),
                Kind("CELERY", "Celery", "stalks", "#a4cf62", 1),
            ),
        ),
        Shelf(
            "greens",
            "Greens & corn",
            "#8fc77f",
            "Green light: 25% off {item.title}",
            "Even the children asked for more. Once.",
            (
                Kind("BROCCOLI WHOLE&CROWNS", "Broccoli", "broccoli", "#4e9a45", 1),
                Kind("CAULIFLOWER WHOLE", "Cauliflower", "broccoli", "#efe8d2", 1),
                Kind("ASPARAGUS", "Asparagus", "spears", "#7fb34e", 1),
                Kind("CORN YELLOW", "Sweet corn", "corn", "#f6cf4b", 1),
                Kind("CABBAGE", "Cabbage", "lettuce", "#b7d68a", 1),
                Kind("SQUASH ZUCCHINI", "Zucchini", "cucumber", "#5a8f3e", 1),
            ),
        ),
    ),
)  # fmt: skip

BRANDS = (LARDER, BARROW)
