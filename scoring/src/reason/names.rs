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
        Family::Scanner => "the name of a scanner or attack tool",
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
        Family::Scanner => "words that are names of scanners too",
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
        Family::Scanner => "names of scanners",
    }
}

/// What a tokenizer's column says, in words; its own name where that reads well already.
pub(super) fn syntax_words(column: &'static str) -> &'static str {
    match column {
        "longest run of SQL" => "a stretch that an SQL parser would take",
        "quote closed and an SQL condition follows" => {
            "a quote is closed and an SQL condition follows"
        }
        "SQL condition that is always decided" => "an SQL condition that is always decided",
        "SQL comment cuts off what follows" => "an SQL comment cuts off what follows",
        "second SQL statement" => "a second SQL statement",
        "SQL union, subselect or clause" => "an appended SQL union, subselect or clause",
        "SQL function called" => "a call of an SQL function",
        "quotes joined by an SQL operator" => "a string is closed and joined to another as in SQL",
        "SQL delay" => "an SQL delay",
        "tag with an event handler" => "a tag with an event handler",
        "element that runs or loads something" => "an HTML element that runs or loads something",
        "attribute or tag closed early" => "an attribute or a tag is closed early",
        "address that runs a script" => "an address that runs a script",
        "JavaScript call" => "a JavaScript call",
        "string closed and JavaScript follows" => "a string is closed and JavaScript follows",
        "script written in brackets alone" => "a script written in brackets alone",
        "separator and shell command" => "a shell command behind what separates commands",
        "shell substitution" => "a shell would put a command's output here",
        "disguised shell spelling" => "a shell command in disguise",
        "shell idiom" => "a shell command line",
        "template expression with an operation" => "a template expression that computes something",
        "template placeholder" => "a template placeholder",
        "access to classes from a template" => "a template expression that reaches for classes",
        "look-up or server directive" => "a look-up or a server directive",
        "XML entity or inclusion" => "an XML entity or inclusion",
        "server-side call" => "a call in server-side code",
        "serialised object" => "a serialised object",
        "prototype key" => "a key that changes prototypes",
        "steps out of a folder" => "a path that steps out of its folder",
        "file that attackers read" => "a path to a file that attackers read",
        "stream wrapper, drive or share" => "a stream wrapper, a drive or a share",
        "address of an internal host" => "the address of an internal host",
        "address in disguise" => "an address in disguise",
        "filter or path query broken out of" => "a filter or path query is broken out of",
        "query operator" => "an operator of a database's query language",
        "protocol line inside a value" => "a line break and a protocol line",
        other => other,
    }
}

/// What a value must not have to be without a cause; `None` for what is about the whole value.
pub(super) fn kind_of(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Lexicon(family) | Kind::Tokens(family) => match family {
            Family::Sql => "SQL",
            Family::Script => "HTML and JavaScript",
            Family::Shell => "shell commands",
            Family::Path => "such paths",
            Family::Template => "template syntax",
            Family::Code => "server-side code",
            Family::Query => "query operators",
            Family::Protocol => "protocol lines",
            Family::Address => "such addresses",
            Family::Scanner => "names of scanners",
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
        Kind::Length | Kind::MakeUp | Kind::Origin | Kind::Profile(_) | Kind::Skeleton => {
            return None;
        }
    })
}
