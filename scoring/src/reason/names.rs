//! What families and causes are called. Not here: when they are told.

use weir_features::Family;

use super::attribution::{Breakout, Kind};

/// What a family is called when its terms are code.
pub(super) fn family_words(family: Family) -> &'static str {
    match family {
        Family::Sql => "SQL",
        Family::Script => "HTML or JavaScript",
        Family::Shell => "shell commands",
        Family::Path => "system paths",
        Family::Template => "template or expression syntax",
        Family::Code => "server-side code",
        Family::Query => "NoSQL, LDAP, XPath or GraphQL syntax",
        Family::Protocol => "protocol lines inside a value",
        Family::Address => "internal or suspicious addresses",
    }
}

/// What a family is called when its terms are words that prose has too.
pub(super) fn lone_words(family: Family) -> &'static str {
    match family {
        Family::Sql => "SQL words",
        Family::Script => "HTML or JavaScript words",
        Family::Shell => "words that are shell commands too",
        Family::Path => "words of system paths",
        Family::Template => "words of templates",
        Family::Code => "words of server-side code",
        Family::Query => "words of NoSQL, LDAP, XPath or GraphQL",
        Family::Protocol => "protocol words",
        Family::Address => "suspicious host names",
    }
}

/// What a family's terms are called where they are counted, words of prose and all.
pub(super) fn counted_terms(family: Family) -> &'static str {
    match family {
        Family::Sql => "SQL terms",
        Family::Script => "HTML or JavaScript terms",
        Family::Shell => "names of shell commands",
        Family::Path => "system paths",
        Family::Template => "template syntax",
        Family::Code => "code",
        Family::Query => "NoSQL, LDAP or XPath terms",
        Family::Protocol => "protocol terms",
        Family::Address => "such addresses",
    }
}

/// What a value must not have to be without a cause; `None` for what is about the whole value.
pub(super) fn kind_of(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Lexicon(family) => match family {
            Family::Sql => "SQL",
            Family::Script => "HTML and JavaScript",
            Family::Shell => "shell commands",
            Family::Path => "such paths",
            Family::Template => "template syntax",
            Family::Code => "server-side code",
            Family::Query => "query operators",
            Family::Protocol => "protocol lines",
            Family::Address => "such addresses",
        },
        Kind::Structure(breakout) => match breakout {
            Breakout::Tags => "tags",
            Breakout::Calls => "function calls",
            Breakout::Tautology => "such comparisons",
            Breakout::CommentAfterQuote | Breakout::CommentAtEnd => "comments",
            Breakout::Beginning => "such a beginning",
            _ => "open quotes and brackets",
        },
        Kind::Punctuation(_) => "this punctuation",
        Kind::Encoding => "such encodings",
        Kind::Length | Kind::MakeUp | Kind::Origin | Kind::Skeleton => return None,
    })
}
