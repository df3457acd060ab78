//! The profile columns of a field row and their names. Not here: how they are computed.

macro_rules! columns {
    ($($name:ident = $words:literal,)*) => {
        #[expect(non_camel_case_types, clippy::upper_case_acronyms, reason = "numbers the columns")]
        #[derive(Clone, Copy)]
        enum Column { $($name,)* COUNT }
        $(pub(crate) const $name: usize = Column::$name as usize;)*
        /// Columns that a profile writes into a field row.
        pub const PROFILE_WIDTH: usize = Column::COUNT as usize;
        /// The names of the profile columns, in order.
        pub const PROFILE_FEATURES: [&str; PROFILE_WIDTH] = [$($words,)*];
    };
}

columns! {
    SPOKE = "site profile known",
    AT_ENDPOINT = "judged by its own endpoint",
    KEY_NEW = "parameter never seen at this endpoint",
    KEY_NEW_SITE = "parameter never seen on this site",
    MATURITY = "values seen at this place",
    VARIETY = "share of new values at this place",
    LENGTH = "length against the usual",
    LENGTH_BEYOND = "length outside the range seen",
    LENGTH_NEW = "never seen length",
    CLASSES = "never seen kinds of character",
    CLASSES_MISSING = "kind of character missing that was always there",
    MARK_COUNTS = "punctuation more often than ever",
    TRIGRAMS = "never seen character patterns",
    TRIGRAM_SHARE = "share of never seen character patterns",
    PARTS = "number of parts against the usual",
    SKELETON = "never seen shape",
    SKELETON_RARE = "rare shape",
    VALUE = "never seen value",
    BIGRAM_MEAN = "sequence of characters against the usual",
    BIGRAM_WORST = "least usual pair of characters",
    KIND = "of another type than always before",
    SHARE_LETTERS = "share of letters against the usual",
    SHARE_DIGITS = "share of digits against the usual",
    SHARE_UPPER = "share of upper case against the usual",
    SHARE_MARKS = "share of punctuation against the usual",
    LAYERS = "never seen layers of encoding",
    MARKS = "never seen kind of encoding or nesting",
    TOTAL = "all that was never seen together",
    ENDPOINT_NEW = "never seen endpoint",
    METHOD_NEW = "never seen method at this endpoint",
    NAMES_NEW = "never seen set of parameters",
    NAMES_UNKNOWN = "parameters that this endpoint does not know",
    NAMES_MISSING = "parameters missing that were always there",
    DUPLICATES = "parameters repeated more often than ever",
    PATH_UNKNOWN = "unknown part of the path",
    EXTENSION_NEW = "never seen file extension",
}

/// The columns that say what kind of place it is and how well it is known; the others tell departures from it.
pub const PROFILE_CONTEXT: [usize; 4] = [SPOKE, AT_ENDPOINT, MATURITY, VARIETY];

/// The column that adds up everything never seen.
pub const PROFILE_TOTAL: usize = TOTAL;
