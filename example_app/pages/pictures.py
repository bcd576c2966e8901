"""Pictures of the products, drawn by the shop itself: a shape for each kind, a colour for each sku.

Any sku has a picture, so that the page is the same whatever the catalogue holds.
"""

from hashlib import sha256

# By the beginning of the sku; the last is for everything else.
SHAPES = {
    "TEA-": (
        '<path d="M62 48h76l8 18v84a10 10 0 0 1-10 10H64a10 10 0 0 1-10-10V66z" fill="{main}"/>'
        '<path d="M62 48h76l8 18H54z" fill="{dark}"/>'
        '<path d="M100 88c20 8 22 34 0 50c-22-16-20-42 0-50z" fill="{light}"/>'
        '<path d="M100 96v40" stroke="{dark}" stroke-width="3"/>'
    ),
    "KETTLE-": (
        '<path d="M64 92q36-40 72 0l10 56a12 12 0 0 1-12 12H66a12 12 0 0 1-12-12z" fill="{main}"/>'
        '<path d="M142 108q26-8 30-34" fill="none" stroke="{main}" stroke-width="9"/>'
        '<path d="M64 90q36-66 72 0" fill="none" stroke="{dark}" stroke-width="8"/>'
        '<circle cx="100" cy="70" r="6" fill="{dark}"/>'
    ),
    "POT-": (
        '<ellipse cx="100" cy="116" rx="50" ry="42" fill="{main}"/>'
        '<path d="M146 112q18-4 24-26" fill="none" stroke="{main}" stroke-width="10"/>'
        '<path d="M54 96q-30 20 2 42" fill="none" stroke="{dark}" stroke-width="8"/>'
        '<path d="M72 80q28-16 56 0z" fill="{dark}"/><circle cx="100" cy="66" r="6" fill="{dark}"/>'
    ),
    "CUP-": (
        '<path d="M58 84h74v34a34 34 0 0 1-34 34h-6a34 34 0 0 1-34-34z" fill="{main}"/>'
        '<path d="M132 92q28 0 24 22t-30 16" fill="none" stroke="{main}" stroke-width="8"/>'
        '<ellipse cx="95" cy="84" rx="37" ry="8" fill="{dark}"/>'
        '<path d="M84 68q-8-12 0-22M104 68q-8-12 0-22" fill="none" stroke="{light}"'
        ' stroke-width="5"/>'
    ),
    "BOOK": (
        '<path d="M56 56h76a12 12 0 0 1 12 12v88H68a12 12 0 0 1-12-12z" fill="{main}"/>'
        '<path d="M56 144a12 12 0 0 1 12-12h76v24H68a12 12 0 0 1-12-12z" fill="{light}"/>'
        '<path d="M78 78h44M78 94h30" stroke="{light}" stroke-width="6"/>'
    ),
    "": (
        '<rect x="54" y="64" width="92" height="80" rx="10" fill="{main}"/>'
        '<path d="M54 92h92M100 64v80" stroke="{light}" stroke-width="10"/>'
        '<path d="M100 62q-30-30-36-8t36 8q30-30 36-8t-36 8z" fill="{dark}"/>'
    ),
}


def picture(sku: str) -> str:
    """Return a product's picture as SVG."""
    hue = sha256(sku.encode()).digest()[0] * 360 // 256
    prefix = next(prefix for prefix in SHAPES if sku.startswith(prefix))
    shape = SHAPES[prefix].format(
        main=f"hsl({hue} 42% 52%)", dark=f"hsl({hue} 46% 34%)", light=f"hsl({hue} 60% 86%)"
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200">'
        f'<rect width="200" height="200" fill="hsl({hue} 45% 95%)"/>'
        f'<ellipse cx="100" cy="164" rx="62" ry="7" fill="hsl({hue} 30% 86%)"/>{shape}</svg>'
    )
