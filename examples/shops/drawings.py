"""Pictures of products, drawn: a shape in its colour on the tint of its shelf, as SVG.

There are no photographs in the data. Every shape is drawn in a square of 200 by 200.
"""

from collections.abc import Callable

Shape = Callable[[str], str]


def draw(shape: str, colour: str, *, tint: str) -> str:
    """Return the picture as an SVG document.

    Parameters
    ----------
    shape
        One of `SHAPES`.
    colour, tint
        Of the thing and of what is behind it, as ``#rrggbb``.
    """
    light, deep = mix(tint, "#ffffff", 0.72), mix(tint, "#ffffff", 0.42)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200" width="400" height="400">'
        f'<defs><linearGradient id="g" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="{light}"/>'
        f'<stop offset="1" stop-color="{deep}"/></linearGradient></defs>'
        '<rect width="200" height="200" fill="url(#g)"/>'
        f'<circle cx="100" cy="96" r="72" fill="#fff" opacity=".38"/>'
        f'<ellipse cx="100" cy="168" rx="58" ry="8" fill="{mix(tint, "#000000", 0.55)}" opacity=".16"/>'
        f"{SHAPES[shape](colour)}</svg>"
    )


def mix(colour: str, other: str, share: float) -> str:
    """A colour with a share of another in it.

    Examples
    --------
    >>> mix("#000000", "#ffffff", 0.5)
    '#808080'
    """
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(mine + (theirs - mine) * share):02x}" for mine, theirs in pairs)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _dark(colour: str, share: float = 0.22) -> str:
    return mix(colour, "#1b1411", share)


def _light(colour: str, share: float = 0.35) -> str:
    return mix(colour, "#ffffff", share)


LEAF, STEM, PAPER = "#5b9a3c", "#7a5a35", "#fffaf0"


def _leaf(x: float, y: float, turn: float = 0, size: float = 1) -> str:
    return (
        f'<path d="M0 0C10-18 30-20 40-14C34 2 16 8 0 0Z" fill="{LEAF}"'
        f' transform="translate({x} {y}) rotate({turn}) scale({size})"/>'
    )


def _carton(c: str) -> str:
    return (
        f'<path d="M66 76L78 48H124L136 76V168H66Z" fill="{PAPER}"/><path d="M66 76L78 48H124L136 76Z" fill="{_light(c)}"/>'
        f'<rect x="76" y="38" width="50" height="12" rx="2" fill="{_dark(c)}"/>'
        f'<path d="M66 112C84 100 116 126 136 110V168H66Z" fill="{c}"/>'
        f'<path d="M118 76H136V168H118Z" fill="#000" opacity=".07"/>'
        f'<circle cx="96" cy="96" r="11" fill="{_light(c, 0.1)}"/>'
    )


def _bottle(c: str) -> str:
    return (
        f'<rect x="90" y="26" width="20" height="14" rx="3" fill="{_dark(c, 0.4)}"/>'
        f'<path d="M92 40H108C108 58 130 62 130 88V156Q130 168 118 168H82Q70 168 70 156V88C70 62 92 58 92 40Z" fill="{c}"/>'
        f'<rect x="70" y="98" width="60" height="38" fill="{PAPER}"/>'
        f'<path d="M70 122C86 110 112 132 130 116V136H70Z" fill="{_light(c)}"/>'
        '<path d="M80 84C82 70 92 64 94 52" stroke="#fff" stroke-width="5" fill="none" opacity=".45" stroke-linecap="round"/>'
    )


def _can(c: str) -> str:
    return _one_can(c, 62, 60, 76)


def _one_can(c: str, x: float, y: float, w: float) -> str:
    h = 168 - y
    return (
        f'<path d="M{x + 6} {y}H{x + w - 6}L{x + w} {y + 12}V{y + h - 8}Q{x + w / 2} {y + h + 8} {x} {y + h - 8}V{y + 12}Z" fill="{c}"/>'
        f'<ellipse cx="{x + w / 2}" cy="{y + 3}" rx="{w / 2 - 6}" ry="6" fill="#d9dde0"/>'
        f'<path d="M{x} {y + h * 0.38}Q{x + w / 2} {y + h * 0.46} {x + w} {y + h * 0.38}V{y + h * 0.72}Q{x + w / 2} {y + h * 0.8} {x} {y + h * 0.72}Z" fill="{PAPER}"/>'
        f'<circle cx="{x + w / 2}" cy="{y + h * 0.59}" r="{w * 0.15}" fill="{_light(c, 0.2)}"/>'
        f'<rect x="{x + 8}" y="{y + 16}" width="6" height="{h - 34}" rx="3" fill="#fff" opacity=".3"/>'
    )


def _cans(c: str) -> str:
    return _one_can(_dark(c), 50, 72, 44) + _one_can(_dark(c), 106, 72, 44) + _one_can(c, 76, 64, 48)


def _bag(c: str) -> str:
    return (
        f'<path d="M58 44L66 50L74 44L82 50L90 44L98 50L106 44L114 50L122 44L130 50L138 44L142 52C136 90 138 130 146 160'
        f'L138 168H62L54 160C62 130 64 90 54 52Z" fill="{c}"/>'
        f'<path d="M56 60H141" stroke="{_dark(c)}" stroke-width="3" opacity=".5"/>'
        f'<ellipse cx="100" cy="112" rx="31" ry="28" fill="{PAPER}"/>'
        f'<path d="M80 116Q100 92 120 112Q102 134 80 116Z" fill="{_light(c, 0.25)}"/>'
        '<path d="M68 74C64 100 66 126 62 150" stroke="#fff" stroke-width="5" opacity=".35" fill="none" stroke-linecap="round"/>'
    )


def _box(c: str) -> str:
    return (
        f'<path d="M60 44H122V168H60Z" fill="{c}"/><path d="M122 44L142 52V160L122 168Z" fill="{_dark(c)}"/>'
        f'<path d="M60 44L78 36H142V52L122 44Z" fill="{_light(c)}"/>'
        f'<rect x="68" y="56" width="46" height="22" rx="3" fill="{PAPER}"/>'
        f'<rect x="74" y="64" width="34" height="6" rx="3" fill="{_dark(c)}"/>'
        f'<path d="M70 132H112Q110 156 91 156Q72 156 70 132Z" fill="{PAPER}"/>'
        f'<ellipse cx="91" cy="132" rx="21" ry="6" fill="{_light(c, 0.5)}"/>'
        f'<circle cx="84" cy="128" r="5" fill="{_dark(c, 0.1)}"/><circle cx="96" cy="127" r="5" fill="{_dark(c, 0.1)}"/>'
        f'<circle cx="91" cy="122" r="5" fill="{_dark(c, 0.1)}"/>'
    )


def _jar(c: str) -> str:
    return (
        f'<path d="M68 62H132Q142 72 142 86V154Q142 168 128 168H72Q58 168 58 154V86Q58 72 68 62Z" fill="{c}"/>'
        f'<rect x="66" y="40" width="68" height="24" rx="5" fill="{_dark(c, 0.5)}"/>'
        f'<path d="M66 52H134" stroke="#fff" stroke-width="2" opacity=".25"/>'
        f'<rect x="58" y="96" width="84" height="44" fill="{PAPER}"/>'
        f'<circle cx="100" cy="118" r="14" fill="{_light(c, 0.15)}"/>'
        '<rect x="66" y="74" width="7" height="80" rx="3.5" fill="#fff" opacity=".35"/>'
    )


def _tub(c: str) -> str:
    return (
        f'<path d="M58 76H142L132 160Q131 168 122 168H78Q69 168 68 160Z" fill="{PAPER}"/>'
        f'<path d="M60.500 98H139.500L134 144H66Z" fill="{c}"/>'
        f'<rect x="52" y="62" width="96" height="16" rx="6" fill="{_dark(c)}"/>'
        f'<path d="M84 122Q100 102 116 122Q100 138 84 122Z" fill="{PAPER}" opacity=".9"/>'
    )


def _loaf(c: str) -> str:
    return (
        f'<path d="M40 96C32 62 70 58 100 58C134 58 170 62 160 96V150Q160 160 150 160H50Q40 160 40 150Z" fill="{c}"/>'
        f'<path d="M40 96C32 62 70 58 100 58C134 58 170 62 160 96C140 84 60 84 40 96Z" fill="{_dark(c)}"/>'
        + "".join(
            f'<path d="M{x} 70L{x + 10} 92" stroke="{_light(c)}" stroke-width="6" stroke-linecap="round"/>'
            for x in (62, 86, 110, 134)
        )
        + f'<path d="M52 112V146M100 108V150M148 112V146" stroke="{_dark(c)}" stroke-width="2" opacity=".25"/>'
    )


def _bun(c: str) -> str:
    return (
        f'<path d="M42 116C42 78 70 62 100 62S158 78 158 116Z" fill="{c}"/>'
        f'<rect x="40" y="118" width="120" height="12" rx="6" fill="{_light(c, 0.6)}"/>'
        f'<path d="M44 134H156V142Q156 160 138 160H62Q44 160 44 142Z" fill="{_dark(c, 0.12)}"/>'
        + "".join(
            f'<ellipse cx="{x}" cy="{y}" rx="5" ry="3" fill="{PAPER}"/>'
            for x, y in ((76, 86), (100, 76), (124, 88), (92, 98), (114, 102), (66, 104), (138, 106))
        )
    )


def _bagel(c: str) -> str:
    return (
        f'<ellipse cx="100" cy="118" rx="62" ry="48" fill="{_dark(c)}"/><ellipse cx="100" cy="110" rx="62" ry="46" fill="{c}"/>'
        f'<ellipse cx="100" cy="108" rx="20" ry="13" fill="{_dark(c, 0.4)}"/>'
        + "".join(
            f'<ellipse cx="{x}" cy="{y}" rx="4" ry="2.500" fill="{PAPER}"/>'
            for x, y in (
                (70, 90),
                (92, 80),
                (118, 82),
                (138, 98),
                (132, 124),
                (104, 136),
                (76, 130),
                (60, 110),
            )
        )
    )


def _eggs(c: str) -> str:
    return (
        "".join(
            f'<path d="M{x} {y}c0-22 10-36 18-36s18 14 18 36c0 14-8 22-18 22s-18-8-18-22z" fill="{fill}"/>'
            for x, y, fill in ((50, 106, c), (82, 102, _light(c)), (114, 106, _dark(c, 0.08)))
        )
        + '<path d="M38 116H162L152 160Q150 168 142 168H58Q50 168 48 160Z" fill="#8fa3ad"/>'
        '<path d="M38 116Q54 132 68 116Q84 132 100 116Q116 132 132 116Q146 132 162 116V124H38Z" fill="#a9bac3"/>'
    )


def _wedge(c: str) -> str:
    return (
        f'<path d="M40 116L128 66Q160 84 162 116Z" fill="{_light(c, 0.3)}"/><path d="M40 116H162V160H40Z" fill="{c}"/>'
        f'<circle cx="70" cy="138" r="9" fill="{_dark(c)}" opacity=".6"/><circle cx="108" cy="146" r="6" fill="{_dark(c)}" opacity=".6"/>'
        f'<circle cx="134" cy="134" r="10" fill="{_dark(c)}" opacity=".6"/><ellipse cx="120" cy="96" rx="12" ry="6" fill="{_dark(c)}" opacity=".35"/>'
    )


def _slices(c: str) -> str:
    return "".join(
        f'<rect x="{54 + 6 * n}" y="{92 - 13 * n}" width="84" height="74" rx="8" fill="{fill}" stroke="{_dark(c)}" stroke-opacity=".25"/>'
        for n, fill in enumerate((_dark(c, 0.12), c, _light(c, 0.3)))
    )


def _tortillas(c: str) -> str:
    return "".join(
        f'<ellipse cx="100" cy="{142 - 13 * n}" rx="64" ry="24" fill="{fill}" stroke="{_dark(c)}" stroke-opacity=".3"/>'
        for n, fill in enumerate((_dark(c, 0.16), _dark(c, 0.06), _dark(c, 0.12), c, _light(c, 0.3)))
    ) + "".join(
        f'<ellipse cx="{x}" cy="{y}" rx="{r}" ry="{r / 2}" fill="#b07a3f" opacity=".45"/>'
        for x, y, r in ((74, 86, 7), (104, 80, 9), (128, 92, 6), (92, 98, 5), (120, 102, 5))
    )


def _sticks(c: str) -> str:
    return "".join(
        f'<rect x="{58 + 24 * n}" y="{54 + 6 * (n % 2)}" width="18" height="110" rx="9" fill="{fill}" transform="rotate({-8 + 5 * n} 100 160)"/>'
        for n, fill in enumerate((_dark(c, 0.1), c, _light(c), c))
    )


def _pizza(c: str) -> str:
    return (
        f'<circle cx="100" cy="106" r="62" fill="{_dark("#d9a25a")}"/><circle cx="100" cy="104" r="60" fill="#e3b06a"/>'
        f'<circle cx="100" cy="104" r="49" fill="{c}"/><circle cx="100" cy="104" r="47" fill="#f6cf6d" opacity=".75"/>'
        + "".join(
            f'<circle cx="{x}" cy="{y}" r="9" fill="{c}"/>'
            for x, y in ((82, 82), (118, 80), (132, 110), (104, 108), (74, 116), (100, 138), (126, 134))
        )
        + f'<path d="M92 94l10-4M120 96l8 4M86 132l8 4" stroke="{LEAF}" stroke-width="4" stroke-linecap="round"/>'
    )


def _icecream(c: str) -> str:
    return (
        f'<circle cx="80" cy="76" r="26" fill="{c}"/><circle cx="120" cy="76" r="26" fill="{_light(c, 0.45)}"/>'
        f'<circle cx="100" cy="60" r="26" fill="{_dark(c, 0.1)}"/>'
        f'<path d="M54 92H146L134 160Q132 168 124 168H76Q68 168 66 160Z" fill="{PAPER}"/>'
        f'<path d="M58 112H142L137 142H63Z" fill="{_light(c, 0.1)}"/><rect x="50" y="84" width="100" height="13" rx="6" fill="{_dark(c)}"/>'
    )


def _cookie(c: str) -> str:
    return (
        f'<circle cx="100" cy="108" r="58" fill="{_dark(c)}"/><circle cx="100" cy="104" r="57" fill="{c}"/>'
        + "".join(
            f'<path d="M{x} {y}l10-4 6 8-6 9-10-3z" fill="#5a3823"/>'
            for x, y in (
                (70, 80),
                (104, 68),
                (128, 92),
                (84, 110),
                (112, 116),
                (66, 128),
                (96, 144),
                (132, 128),
            )
        )
    )


def _cake(c: str) -> str:
    return (
        f'<path d="M48 96H152V156Q152 166 142 166H58Q48 166 48 156Z" fill="{_light(c, 0.25)}"/>'
        f'<path d="M48 128H152V138H48Z" fill="{PAPER}"/>'
        f'<path d="M44 100Q44 78 66 76H134Q156 78 156 100Q150 116 142 102Q132 122 122 104Q112 124 100 104Q88 122 80 104Q70 118 60 102Q52 114 44 100Z" fill="{c}"/>'
        '<circle cx="100" cy="66" r="11" fill="#d8333f"/><path d="M100 56C102 46 108 42 116 42" stroke="#5d7d33" stroke-width="3" fill="none"/>'
    )


def _pasta(c: str) -> str:
    strands = "".join(
        f'<path d="M{70 + 5 * n} {44 + (n % 3) * 4}L{84 + 2.6 * n} 108L{66 + 6 * n} 166" stroke="{fill}" stroke-width="4.500" fill="none" stroke-linecap="round"/>'
        for n, fill in enumerate([c, _dark(c, 0.12), _light(c)] * 4)
    )
    return strands + '<rect x="78" y="98" width="40" height="18" rx="8" fill="#c4473a"/>'


def _taco(c: str) -> str:
    return (
        f'<path d="M40 138C40 92 70 66 104 66S162 92 162 138Z" fill="{_dark(c)}"/>'
        '<path d="M46 120q6-22 22-22 4-20 24-18 12-16 28-2 20-2 22 18 16 4 14 26z" fill="#6ea544"/>'
        '<circle cx="80" cy="94" r="9" fill="#d8432f"/><circle cx="122" cy="92" r="9" fill="#d8432f"/><circle cx="102" cy="84" r="8" fill="#f2c94c"/>'
        f'<path d="M34 152C34 106 62 84 96 84S156 108 156 152Q156 158 148 158H42Q34 158 34 152Z" fill="{c}"/>'
        f'<circle cx="70" cy="126" r="3" fill="{_dark(c)}"/><circle cx="98" cy="112" r="3" fill="{_dark(c)}"/><circle cx="120" cy="134" r="3" fill="{_dark(c)}"/><circle cx="88" cy="142" r="3" fill="{_dark(c)}"/>'
    )


def _cup(c: str) -> str:
    return (
        f'<path d="M54 84H134V132Q134 164 102 164H86Q54 164 54 132Z" fill="{c}"/>'
        f'<path d="M134 98Q160 96 158 118Q156 138 130 136" stroke="{c}" stroke-width="10" fill="none"/>'
        f'<ellipse cx="94" cy="84" rx="40" ry="10" fill="{_dark(c)}"/><ellipse cx="94" cy="85" rx="33" ry="7" fill="#5b3a22"/>'
        + "".join(
            f'<path d="M{x} 66q-8-10 0-18t0-18" stroke="{_dark(c)}" stroke-width="4" opacity=".35" fill="none" stroke-linecap="round"/>'
            for x in (80, 106)
        )
    )


def _round(c: str) -> str:
    return (
        f'<path d="M100 74C122 58 158 70 156 112C154 148 126 168 100 166C74 168 46 148 44 112C42 70 78 58 100 74Z" fill="{c}"/>'
        f'<path d="M128 82C146 92 148 126 128 148C158 134 164 88 128 82Z" fill="{_dark(c)}" opacity=".35"/>'
        f'<path d="M100 76C100 62 104 52 110 44" stroke="{STEM}" stroke-width="6" fill="none" stroke-linecap="round"/>'
        + _leaf(106, 58, 4)
        + '<ellipse cx="70" cy="98" rx="9" ry="16" fill="#fff" opacity=".4" transform="rotate(24 70 98)"/>'
    )


def _tomato(c: str) -> str:
    return (
        f'<ellipse cx="100" cy="116" rx="60" ry="51" fill="{c}"/>'
        f'<path d="M136 84C156 102 154 140 126 158C164 148 172 102 136 84Z" fill="{_dark(c)}" opacity=".35"/>'
        f'<path d="M100 74L108 62L114 76L132 70L122 84L136 92L112 90L100 102L90 90L64 92L78 84L68 70L88 76Z" fill="{LEAF}"/>'
        '<ellipse cx="68" cy="108" rx="8" ry="15" fill="#fff" opacity=".4" transform="rotate(22 68 108)"/>'
    )


def _pear(c: str) -> str:
    return (
        f'<path d="M100 56C118 56 120 78 124 92C130 108 148 118 146 138C144 160 122 168 100 168S56 160 54 138C52 118 70 108 76 92C80 78 82 56 100 56Z" fill="{c}"/>'
        f'<path d="M112 64C120 90 142 112 128 158C150 148 150 128 140 114C126 100 124 76 112 64Z" fill="{_dark(c)}" opacity=".3"/>'
        f'<path d="M100 58C100 48 104 40 110 36" stroke="{STEM}" stroke-width="6" fill="none" stroke-linecap="round"/>'
        + _leaf(104, 48, 6, 0.9)
        + '<ellipse cx="76" cy="128" rx="8" ry="15" fill="#fff" opacity=".4" transform="rotate(20 76 128)"/>'
    )


def _banana(c: str) -> str:
    return (
        f'<path d="M58 52C52 110 84 152 150 150C160 150 162 140 152 138C112 132 84 104 76 50Z" fill="{_dark(c, 0.12)}"/>'
        f'<path d="M76 48C74 96 104 140 158 128C168 126 166 116 156 116C122 116 98 90 92 48Z" fill="{c}"/>'
        f'<path d="M92 46C96 84 118 108 156 102C164 100 164 92 156 90C130 90 112 72 106 46Z" fill="{_light(c, 0.25)}"/>'
        f'<path d="M58 54L64 36Q84 30 104 36L107 50Q84 42 58 54Z" fill="#8b6b2f"/>'
    )


def _strawberry(c: str) -> str:
    return (
        f'<path d="M100 78C128 62 158 76 152 106C146 138 118 164 100 170C82 164 54 138 48 106C42 76 72 62 100 78Z" fill="{c}"/>'
        f'<path d="M132 78C150 96 136 138 108 164C140 148 168 100 132 78Z" fill="{_dark(c)}" opacity=".3"/>'
        f'<path d="M100 84L84 92L78 78L58 80L72 66L64 54L86 58L100 40L114 58L136 54L128 66L142 80L122 78L116 92Z" fill="{LEAF}"/>'
        + "".join(
            f'<ellipse cx="{x}" cy="{y}" rx="2.600" ry="4" fill="#ffe9a8"/>'
            for x, y in (
                (72, 102),
                (94, 108),
                (118, 104),
                (136, 98),
                (82, 124),
                (106, 128),
                (126, 122),
                (94, 146),
                (112, 146),
            )
        )
    )


def _cluster(c: str) -> str:
    balls = (
        (74, 84), (100, 80), (126, 84), (62, 106), (87, 104), (113, 104), (138, 106),
        (75, 128), (100, 128), (125, 128), (88, 150), (112, 150),
    )  # fmt: skip
    return (
        f'<path d="M100 78C100 62 104 50 112 42" stroke="{STEM}" stroke-width="6" fill="none" stroke-linecap="round"/>'
        + _leaf(106, 58, 0, 1.1)
        + "".join(
            f'<circle cx="{x}" cy="{y}" r="16" fill="{_dark(c, 0.16 if n % 2 else 0.02)}"/><circle cx="{x - 5}" cy="{y - 5}" r="4" fill="#fff" opacity=".45"/>'
            for n, (x, y) in enumerate(balls)
        )
    )


def _berries(c: str) -> str:
    return "".join(
        f'<circle cx="{x}" cy="{y}" r="27" fill="{fill}"/><path d="M{x - 8} {y - 6}l8-7 8 7-3 9h-10z" fill="{_dark(c, 0.45)}"/>'
        f'<circle cx="{x - 11}" cy="{y + 6}" r="4" fill="#fff" opacity=".35"/>'
        for x, y, fill in (
            (100, 84, _dark(c, 0.12)),
            (70, 124, c),
            (130, 124, c),
            (100, 140, _light(c, 0.12)),
        )
    ) + _leaf(112, 66, -18)


def _cherries(c: str) -> str:
    return (
        f'<path d="M112 44C92 66 78 84 74 116M112 44C118 70 130 88 132 112" stroke="{LEAF}" stroke-width="5" fill="none"/>'
        + _leaf(112, 46, 10)
        + f'<circle cx="72" cy="134" r="30" fill="{c}"/><circle cx="130" cy="134" r="30" fill="{_dark(c, 0.12)}"/>'
        '<circle cx="62" cy="124" r="6" fill="#fff" opacity=".45"/><circle cx="120" cy="124" r="6" fill="#fff" opacity=".45"/>'
    )


def _citrus(c: str) -> str:
    segments = "".join(
        f'<path d="M112 122L{112 + x} {122 + y}A36 36 0 0 1 {112 + x2} {122 + y2}Z" fill="{_light(c, 0.15)}" stroke="{PAPER}" stroke-width="4" stroke-linejoin="round"/>'
        for x, y, x2, y2 in (
            (0, -36, 31, -18), (31, -18, 31, 18), (31, 18, 0, 36), (0, 36, -31, 18), (-31, 18, -31, -18), (-31, -18, 0, -36),
        )
    )  # fmt: skip
    return (
        f'<circle cx="78" cy="94" r="42" fill="{_dark(c, 0.06)}"/><circle cx="62" cy="80" r="8" fill="#fff" opacity=".35"/>'
        + _leaf(78, 56, -10)
        + f'<circle cx="112" cy="122" r="46" fill="{c}"/><circle cx="112" cy="122" r="40" fill="{PAPER}"/>{segments}'
    )


def _kiwi(c: str) -> str:
    return (
        '<ellipse cx="76" cy="100" rx="44" ry="38" fill="#7d5f3a"/>'
        f'<ellipse cx="112" cy="118" rx="48" ry="44" fill="#6b4f2f"/><ellipse cx="112" cy="118" rx="43" ry="39" fill="{c}"/>'
        f'<ellipse cx="112" cy="118" rx="15" ry="12" fill="{PAPER}"/>'
        + "".join(
            f'<ellipse cx="112" cy="96" rx="2.200" ry="4.200" fill="#23301a" transform="rotate({n * 30} 112 118)"/>'
            for n in range(12)
        )
    )


def _avocado(c: str) -> str:
    return (
        f'<path d="M100 42C122 42 128 72 140 92C158 124 140 168 100 168S42 124 60 92C72 72 78 42 100 42Z" fill="{_dark(c, 0.45)}"/>'
        f'<path d="M100 52C116 52 122 78 132 96C146 124 132 158 100 158S54 124 68 96C78 78 84 52 100 52Z" fill="#e6ecaa"/>'
        f'<path d="M100 52C116 52 122 78 132 96C146 124 132 158 100 158S54 124 68 96C78 78 84 52 100 52Z" fill="none" stroke="{c}" stroke-width="7"/>'
        '<circle cx="100" cy="122" r="24" fill="#7b4a2a"/><circle cx="92" cy="114" r="7" fill="#fff" opacity=".25"/>'
    )


def _pineapple(c: str) -> str:
    return (
        f'<path d="M100 84L78 40Q96 50 98 62L100 26L104 62Q106 48 124 40Z" fill="{LEAF}"/><path d="M100 84L60 56Q88 58 96 72L104 72Q114 58 140 56Z" fill="{_dark(LEAF, 0.15)}"/>'
        f'<path d="M100 74C132 74 144 98 142 124C140 152 122 168 100 168S60 152 58 124C56 98 68 74 100 74Z" fill="{c}"/>'
        f'<g stroke="{_dark(c, 0.35)}" stroke-width="3" opacity=".6"><path d="M66 92L128 152M58 116L106 166M86 76L142 130M112 76L140 104"/><path d="M134 92L72 152M142 116L94 166M114 76L58 130M88 76L60 104"/></g>'
    )


def _mango(c: str) -> str:
    return (
        f'<path d="M58 128C48 92 76 60 114 62C150 64 164 96 152 126C142 154 112 168 88 160C72 156 62 146 58 128Z" fill="{c}"/>'
        '<path d="M114 62C150 64 164 96 152 126C144 148 124 160 104 162C134 140 142 92 114 62Z" fill="#d9502f" opacity=".55"/>'
        f'<path d="M112 62L116 46" stroke="{STEM}" stroke-width="6" stroke-linecap="round"/>'
        + _leaf(116, 54, 6)
    )


def _melon(c: str) -> str:
    return (
        f'<path d="M32 84H168C168 132 138 164 100 164S32 132 32 84Z" fill="{LEAF}"/>'
        f'<path d="M40 84H160C160 126 134 155 100 155S40 126 40 84Z" fill="#eef3c9"/><path d="M48 84H152C152 120 130 147 100 147S48 120 48 84Z" fill="{c}"/>'
        + "".join(
            f'<ellipse cx="{x}" cy="{y}" rx="3" ry="5" fill="#3b2a1d" opacity=".75"/>'
            for x, y in ((72, 100), (92, 106), (112, 102), (130, 98), (84, 124), (104, 128), (120, 120))
        )
    )


def _lettuce(c: str) -> str:
    return (
        f'<path d="M100 168C52 168 36 140 42 112C34 98 48 80 60 82C62 62 82 54 100 62C118 54 138 62 140 82C152 80 166 98 158 112C164 140 148 168 100 168Z" fill="{_dark(c, 0.18)}"/>'
        f'<path d="M100 164C66 164 54 140 58 118C54 104 68 92 76 94C80 80 92 76 100 80C108 76 120 80 124 94C132 92 146 104 142 118C146 140 134 164 100 164Z" fill="{c}"/>'
        f'<path d="M100 160C82 160 76 142 78 128C78 114 88 106 100 108C112 106 122 114 122 128C124 142 118 160 100 160Z" fill="{_light(c, 0.35)}"/>'
        f'<path d="M100 162V92M100 140L78 116M100 140L122 116" stroke="{_light(c, 0.7)}" stroke-width="4" fill="none" stroke-linecap="round"/>'
    )


def _stalks(c: str) -> str:
    return (
        "".join(
            f'<path d="M{92 + n * 5} 168C{82 + n * 10} 130 {72 + n * 18} 100 {66 + n * 22} 62" stroke="{fill}" stroke-width="15" fill="none" stroke-linecap="round"/>'
            for n, fill in enumerate((_dark(c), c, _light(c, 0.25), _dark(c, 0.1)))
        )
        + "".join(
            f'<circle cx="{x}" cy="{y}" r="15" fill="{_dark(LEAF, 0.05)}"/>'
            for x, y in ((58, 56), (76, 44), (98, 42), (120, 44), (138, 56))
        )
        + '<rect x="76" y="126" width="48" height="14" rx="7" fill="#d86a4b"/>'
    )


def _spears(c: str) -> str:
    return (
        "".join(
            f'<path d="M{84 + n * 8} 168L{66 + n * 17} 66" stroke="{fill}" stroke-width="11" stroke-linecap="round"/>'
            f'<path d="M{66 + n * 17 - 8} 72L{66 + n * 17} 40L{66 + n * 17 + 8} 72Z" fill="{_dark(c, 0.3)}"/>'
            for n, fill in enumerate((_dark(c, 0.12), c, _light(c, 0.2), c, _dark(c, 0.12)))
        )
        + '<rect x="70" y="120" width="60" height="14" rx="7" fill="#7a4b8a"/>'
    )


def _carrot(c: str) -> str:
    return (
        f'<path d="M96 68C88 44 74 40 66 34M102 66C100 44 104 34 108 26M108 68C118 50 130 46 142 42" stroke="{LEAF}" stroke-width="9" fill="none" stroke-linecap="round"/>'
        f'<path d="M76 74C84 60 118 60 126 74C134 92 112 150 101 170C90 150 68 92 76 74Z" fill="{c}"/>'
        f'<path d="M118 66C128 82 116 132 103 164C124 130 138 92 118 66Z" fill="{_dark(c)}" opacity=".35"/>'
        f'<path d="M78 92H94M84 114H96M110 100H122M104 128H113" stroke="{_dark(c)}" stroke-width="4" stroke-linecap="round" opacity=".6"/>'
    )


def _potato(c: str) -> str:
    return (
        f'<path d="M48 126C40 96 66 72 96 74C126 62 162 82 158 116C158 148 126 164 98 160C74 166 54 150 48 126Z" fill="{c}"/>'
        f'<path d="M132 78C160 96 150 142 110 160C146 156 170 110 132 78Z" fill="{_dark(c)}" opacity=".3"/>'
        f'<g fill="{_dark(c, 0.4)}" opacity=".55"><ellipse cx="78" cy="104" rx="5" ry="3"/><ellipse cx="108" cy="96" rx="4" ry="2.500"/><ellipse cx="124" cy="124" rx="5" ry="3"/><ellipse cx="90" cy="138" rx="5" ry="3"/></g>'
    )


def _onion(c: str) -> str:
    return (
        f'<path d="M100 60C106 76 152 88 150 124C148 152 124 166 100 166S52 152 50 124C48 88 94 76 100 60Z" fill="{c}"/>'
        f'<path d="M100 60C98 84 76 96 76 124C76 148 90 160 100 166M100 60C102 84 124 96 124 124C124 148 110 160 100 166" stroke="{_dark(c)}" stroke-width="3" fill="none" opacity=".6"/>'
        f'<path d="M94 64C92 50 88 42 84 36M100 62V32M106 64C108 50 112 42 118 38" stroke="{_dark(c, 0.35)}" stroke-width="5" fill="none" stroke-linecap="round"/>'
        f'<path d="M90 166l-4 8M100 167v9M110 166l4 8" stroke="{_dark(c, 0.4)}" stroke-width="3" stroke-linecap="round"/>'
        '<ellipse cx="70" cy="116" rx="7" ry="15" fill="#fff" opacity=".35" transform="rotate(16 70 116)"/>'
    )


def _pepper(c: str) -> str:
    return (
        f'<path d="M100 76C114 62 150 66 152 100C154 132 138 166 118 168C108 168 104 162 100 162S92 168 82 168C62 166 46 132 48 100C50 66 86 62 100 76Z" fill="{c}"/>'
        f'<path d="M100 78C88 98 88 140 98 160M100 78C112 98 112 140 102 160" stroke="{_dark(c)}" stroke-width="4" fill="none" opacity=".55"/>'
        f'<path d="M78 72Q100 60 122 72Q112 84 100 78Q88 84 78 72Z" fill="{LEAF}"/><path d="M100 70C98 56 102 48 112 42" stroke="{LEAF}" stroke-width="9" fill="none" stroke-linecap="round"/>'
        '<ellipse cx="66" cy="100" rx="7" ry="18" fill="#fff" opacity=".4" transform="rotate(10 66 100)"/>'
    )


def _cucumber(c: str) -> str:
    return (
        f'<rect x="34" y="66" width="132" height="42" rx="21" fill="{c}" transform="rotate(-16 100 88)"/>'
        f'<path d="M52 96L148 68M58 108L152 82" stroke="{_light(c)}" stroke-width="4" stroke-linecap="round" opacity=".6"/>'
        + "".join(
            f'<circle cx="{x}" cy="{y}" r="27" fill="{c}"/><circle cx="{x}" cy="{y}" r="22" fill="#e5f0c4"/>'
            + "".join(
                f'<ellipse cx="{x}" cy="{y - 10}" rx="2.200" ry="4.500" fill="{_light(c, 0.3)}" transform="rotate({n * 60} {x} {y})"/>'
                for n in range(6)
            )
            for x, y in ((80, 140), (122, 136))
        )
    )


def _corn(c: str) -> str:
    rows = "".join(
        f'<circle cx="{82 + 12 * column}" cy="{54 + 12 * row}" r="6.500" fill="{_dark(c, 0.1 if (row + column) % 2 else 0)}"/>'
        for row in range(9)
        for column in range(4)
    )
    return (
        f'<path d="M100 34C124 34 130 70 128 110C126 146 112 166 100 168C88 166 74 146 72 110C70 70 76 34 100 34Z" fill="{_dark(c, 0.18)}"/>{rows}'
        f'<path d="M60 92C56 130 78 164 100 170C96 140 84 108 60 92Z" fill="{LEAF}"/><path d="M140 92C144 130 122 164 100 170C104 140 116 108 140 92Z" fill="{_dark(LEAF, 0.15)}"/>'
    )


def _broccoli(c: str) -> str:
    return (
        f'<path d="M82 112C88 136 86 152 80 168H120C114 152 112 136 118 112Z" fill="{_light(c, 0.45)}"/>'
        + "".join(
            f'<circle cx="{x}" cy="{y}" r="{r}" fill="{fill}"/>'
            for x, y, r, fill in (
                (64, 102, 24, _dark(c, 0.12)), (136, 102, 24, _dark(c, 0.12)), (82, 74, 26, c), (118, 74, 26, c),
                (100, 98, 28, _light(c, 0.12)), (100, 60, 20, _light(c, 0.08)),
            )
        )
        + "".join(
            f'<circle cx="{x}" cy="{y}" r="4" fill="#fff" opacity=".28"/>'
            for x, y in ((76, 66), (96, 54), (116, 66), (94, 90), (112, 96), (60, 98), (138, 96))
        )
    )  # fmt: skip


def _mushroom(c: str) -> str:
    return (
        f'<path d="M82 112C86 136 84 152 78 164Q100 174 122 164C116 152 114 136 118 112Z" fill="{_light(c, 0.7)}"/>'
        f'<path d="M38 112C38 76 66 56 100 56S162 76 162 112Q162 122 150 122H50Q38 122 38 112Z" fill="{c}"/>'
        f'<path d="M44 114Q100 132 156 114Q150 124 140 124H60Q50 124 44 114Z" fill="{_dark(c)}" opacity=".6"/>'
        '<ellipse cx="74" cy="80" rx="16" ry="9" fill="#fff" opacity=".35" transform="rotate(-24 74 80)"/>'
    )


def _herbs(c: str) -> str:
    leaves = "".join(
        _leaf(x, y, turn, 0.95).replace(LEAF, fill)
        for x, y, turn, fill in (
            (100, 60, -60, c), (100, 80, 0, _dark(c)), (98, 84, 200, c), (100, 104, 8, c), (98, 108, 196, _dark(c)),
            (100, 128, 2, _dark(c)), (98, 130, 204, c),
        )
    )  # fmt: skip
    return (
        f'<path d="M100 168V54" stroke="{_dark(c)}" stroke-width="5" stroke-linecap="round"/>'
        f'<path d="M88 168C84 140 70 120 62 104M112 168C116 140 130 120 138 104" stroke="{_dark(c)}" stroke-width="4" fill="none" stroke-linecap="round"/>'
        + leaves
        + _leaf(64, 110, -110, 0.8)
        + _leaf(136, 108, -40, 0.8)
        + '<rect x="80" y="146" width="40" height="12" rx="6" fill="#d86a4b"/>'
    )


SHAPES: dict[str, Shape] = {
    "carton": _carton,
    "bottle": _bottle,
    "can": _can,
    "cans": _cans,
    "bag": _bag,
    "box": _box,
    "jar": _jar,
    "tub": _tub,
    "loaf": _loaf,
    "bun": _bun,
    "bagel": _bagel,
    "eggs": _eggs,
    "wedge": _wedge,
    "slices": _slices,
    "tortillas": _tortillas,
    "sticks": _sticks,
    "pizza": _pizza,
    "icecream": _icecream,
    "cookie": _cookie,
    "cake": _cake,
    "pasta": _pasta,
    "taco": _taco,
    "cup": _cup,
    "round": _round,
    "tomato": _tomato,
    "pear": _pear,
    "banana": _banana,
    "strawberry": _strawberry,
    "cluster": _cluster,
    "berries": _berries,
    "cherries": _cherries,
    "citrus": _citrus,
    "kiwi": _kiwi,
    "avocado": _avocado,
    "pineapple": _pineapple,
    "mango": _mango,
    "melon": _melon,
    "lettuce": _lettuce,
    "stalks": _stalks,
    "spears": _spears,
    "carrot": _carrot,
    "potato": _potato,
    "onion": _onion,
    "pepper": _pepper,
    "cucumber": _cucumber,
    "corn": _corn,
    "broccoli": _broccoli,
    "mushroom": _mushroom,
    "herbs": _herbs,
}
