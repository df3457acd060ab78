//! Where in a request a value was found. Not here: what the value looks like.

/// The part of a request that a field comes from.
///
/// The discriminants are the first columns of a field row (a one-hot code), so their order is part of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Location {
    /// The path of the request target, decoded and normalised.
    Path,
    /// A parameter name in the query string, or a name inside a nested query.
    QueryKey,
    /// A parameter value in the query string.
    QueryValue,
    /// A name in a body: form key, JSON key, multipart part name, XML element.
    BodyKey,
    /// A value of a form or multipart body.
    BodyValue,
    /// A leaf of a JSON body.
    Json,
    /// An attribute, text, comment, processing instruction or document type of an XML body.
    Xml,
    /// A body, or what is left of one, that has no structure: text, binary data, overflow.
    RawBody,
    /// A header value that has no location of its own.
    Header,
    /// A cookie value.
    Cookie,
    /// The `Referer` header: its address and the values of its query.
    Referer,
    /// The `User-Agent` header.
    UserAgent,
}

impl Location {
    /// How many locations there are.
    pub const COUNT: usize = 12;

    /// Every location, in the order of the schema.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Path,
        Self::QueryKey,
        Self::QueryValue,
        Self::BodyKey,
        Self::BodyValue,
        Self::Json,
        Self::Xml,
        Self::RawBody,
        Self::Header,
        Self::Cookie,
        Self::Referer,
        Self::UserAgent,
    ];

    /// The position in [`Self::ALL`], which is also the column in a field row.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The stable name used in configuration, manifests and decision records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::QueryKey => "query_key",
            Self::QueryValue => "query_value",
            Self::BodyKey => "body_key",
            Self::BodyValue => "body_value",
            Self::Json => "json",
            Self::Xml => "xml",
            Self::RawBody => "raw_body",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Referer => "referer",
            Self::UserAgent => "user_agent",
        }
    }

    /// The location with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|location| location.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::Location;

    #[test]
    fn names_round_trip_and_indices_follow_the_order() {
        for (index, location) in Location::ALL.into_iter().enumerate() {
            assert_eq!(location.index(), index);
            assert_eq!(Location::from_name(location.name()), Some(location));
        }
        assert_eq!(Location::from_name("body"), None);
    }
}
