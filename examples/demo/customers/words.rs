//! What customers type and what their browsers send along: the look-alikes of attacks are meant to be here.

#[derive(Debug, Clone, Copy)]
pub(super) struct Browser {
    pub(super) agent: &'static str,
    pub(super) language: &'static str,
    /// Client hints, which only Chromium sends.
    pub(super) hints: Option<(&'static str, &'static str, &'static str)>,
}

pub(super) const BROWSERS: &[Browser] = &[
    Browser {
        agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
        language: "en-GB,en;q=0.9",
        hints: Some((
            "\"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\", \"Google Chrome\";v=\"128\"",
            "?0",
            "\"Windows\"",
        )),
    },
    Browser {
        agent: "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Mobile Safari/537.36",
        language: "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7",
        hints: Some((
            "\"Not)A;Brand\";v=\"99\", \"Google Chrome\";v=\"127\", \"Chromium\";v=\"127\"",
            "?1",
            "\"Android\"",
        )),
    },
    Browser {
        agent: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        language: "en-US,en;q=0.5",
        hints: None,
    },
    Browser {
        agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
        language: "fr-FR,fr;q=0.9",
        hints: None,
    },
    Browser {
        agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
        language: "en-US,en;q=0.9",
        hints: None,
    },
];

pub(super) const NAMES: &[&str] = &[
    "Siobhan O'Brien",
    "Luca D'Angelo",
    "Zoë van der Meer",
    "Jürgen Groß",
    "Anna-Lena Müller",
    "Nguyễn Thị Hoa",
    "Pádraig Ó Súilleabháin",
    "María José Núñez",
    "John Smith",
    "Aoife O'Neill",
    "Dr. K. Ibrahim",
    "Åse Strøm",
    "李娜",
    "Jean-Luc L'Hermitte",
    "Priya Raman",
    "Tom & Jill Baker",
];
pub(super) const STREETS: &[&str] = &[
    "12 Main St, Apt #4",
    "Am Hang 7b",
    "Rue de l'Église 3",
    "5 St. Mary's Close",
    "Nordre gate 18 (2. etg.)",
    "P.O. Box 1123",
    "221B Baker Street",
    "Via dell'Orso, 9/A",
];
pub(super) const CITIES: &[&str] = &[
    "Hamburg",
    "Cork",
    "Saint-Malo",
    "L'Aquila",
    "Stratford-upon-Avon",
    "Tromsø",
    "King's Lynn",
    "Málaga",
    "Berlin",
    "Galway",
];
pub(super) const SEARCHES: &[&str] = &[
    "fly rod",
    "rod 2.70m",
    "waders XL",
    "reel #5/6",
    "knife \"otter\"",
    "gift < 30 EUR",
    "lamp & kettle",
    "women's waders",
    "50% off",
    "hat (wide)",
    "O'Brien flies",
    "landing net",
    "map 1:50,000",
    "line wf5",
    "thermos 0.75l",
    "stool 3-leg",
    "knots book",
    "angler's gift",
    "select series reel",
    "union jack fly",
    "drop-shot rig",
    "size 8-10",
    "c# 7 leader",
    "rock 'n' roll hat",
    "trout/salmon",
    "waders + boots",
    "how to order?",
    "river map harz",
    "camp stool",
    "sale",
];
pub(super) const REVIEWS: &[&str] = &[
    "Great rod, does what it should. Would buy again!",
    "It's fine, but the reel doesn't hold the line as well as my old one's did.",
    "I ordered two; one came with a scratch & without the bag. The shop sent another within 3 days -- thanks!",
    "Select the longer one and drop the cheap line: the union of the two is perfect.",
    "5/5. Price/quality is OK (I paid 99.95, it's 89.- elsewhere).",
    "Not for tall people: I'm 1.92 m and/or my legs are too long ;-)",
    "My wife <3 it. I'd say: size up, not down (M -> L).",
    "Used it from June to August, where the river is wild; update: still like new.",
    "Delivery took 2-3 weeks... \"express\" my foot! Otherwise a nice knife.",
    "Que du bonheur ! L'emballage était parfait, merci à l'équipe.",
    "Sehr gut, aber die Anleitung (S. 4-7) ist nur auf Englisch.",
    "The alert sound of the lamp is loud; the script on the box says 350 lm, I measured 340 = good enough.",
    "10 out of 10, 100% recommended, see also the thread on https://forum.example.org/t/waders?page=2#post-17",
];
pub(super) const NOTES: &[&str] = &[
    "Please leave it with the neighbours (no. 14), the bell doesn't work.",
    "It's a gift: no invoice in the parcel, please.",
    "If I'm out: ring 0170 5550123 or call at #12.",
    "",
    "Deliver after 5 pm and/or on Saturday. Thanks!",
    "c/o O'Reilly, 2nd floor -- mind the dog :)",
    "Second bell from the top. The lift is out of order again...",
    "Bitte beim Nachbarn abgeben (Familie Groß), danke!",
    "Happy birthday, Dad! With love from all of us",
    "Could you add a size chart? I'm between M and L.",
    "Invoice to: Brook Farm Ltd, VAT no. IE1234567X",
    "No hurry :)",
    "Merci de livrer avant le 15, si possible.",
    "The voucher didn't work in the app; please take it off the total.",
];
pub(super) const CATCHES: &[&str] = &[
    "Brown trout, 42 cm!",
    "First salmon of the year",
    "Pike; released at once",
    "My dad's best day",
    "Grayling (38 cm) near the old mill",
];
pub(super) const PRODUCTS: &[&str] = &[
    "rod-210",
    "rod-270",
    "reel-5",
    "line-wf5",
    "waders-m",
    "waders-xl",
    "hat",
    "net",
    "box-s",
    "knife",
    "thermos",
    "stool",
    "lamp",
    "kettle",
    "map-harz",
    "book-knots",
    "book-rivers",
    "gift-25",
];
pub(super) const CATEGORIES: &[&str] = &[
    "rods", "reels", "lines", "clothing", "gear", "camp", "books", "gifts",
];

pub(super) const MAILBOXES: &[&str] = &[
    "anna.mueller",
    "siobhan.obrien",
    "luca",
    "j.gross",
    "hoa.nguyen",
    "zoe.vdm",
    "maria-jose",
    "john.smith",
    "aoife_oneill",
    "ibrahim.k",
    "ase",
    "lina.li",
    "jean-luc",
    "priya.raman",
    "tomandjill",
    "info",
    "p.osullivan",
];

/// As they stand in XML.
pub(super) const SUPPLIERS: &[&str] = &[
    "Harz Outdoor",
    "Rods &amp; Reels Ltd",
    "Nordic Waders AS",
    "Lakeside Supplies",
    "Moulinet SARL",
    "Otter Knives",
    "Fjord Line",
    "Bergfreund GmbH",
    "Stillwater Co.",
    "Kettle and Stool",
];
