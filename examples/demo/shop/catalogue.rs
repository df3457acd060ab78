//! What the shop sells.

pub(crate) struct Product {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) category: &'static str,
    pub(crate) cents: u32,
}

const fn product(
    id: &'static str,
    name: &'static str,
    category: &'static str,
    cents: u32,
) -> Product {
    Product {
        id,
        name,
        category,
        cents,
    }
}

pub(crate) const PRODUCTS: &[Product] = &[
    product("rod-210", "Fly rod, 2.10 m, 4 pieces", "rods", 18_900),
    product("rod-270", "Fly rod, 2.70 m, 4 pieces", "rods", 22_450),
    product("reel-5", "Reel, large arbor, #5/6", "reels", 9_995),
    product("line-wf5", "Line WF5, floating, 27 m", "lines", 4_490),
    product("waders-m", "Waders, breathable, size M", "clothing", 15_900),
    product(
        "waders-xl",
        "Waders, breathable, size XL",
        "clothing",
        15_900,
    ),
    product("hat", "Wide-brimmed hat", "clothing", 2_950),
    product("net", "Landing net, wood & rubber", "gear", 5_400),
    product("box-s", "Fly box, 12 x 8 cm", "gear", 1_290),
    product("knife", "Folding knife \"Otter\"", "gear", 3_700),
    product("thermos", "Thermos, 0.75 l", "camp", 2_899),
    product("stool", "Camp stool, 3 legs", "camp", 1_999),
    product("lamp", "Head lamp, 350 lm", "camp", 3_450),
    product("kettle", "Kettle, 1 l", "camp", 2_600),
    product(
        "map-harz",
        "Map: rivers of the Harz, 1:50,000",
        "books",
        1_180,
    ),
    product("book-knots", "Knots that hold (2nd ed.)", "books", 1_650),
    product(
        "book-rivers",
        "Between rivers: a year in waders",
        "books",
        2_200,
    ),
    product("gift-25", "Gift voucher, 25 EUR", "gifts", 2_500),
];

pub(crate) fn find(id: &str) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.id == id)
}
