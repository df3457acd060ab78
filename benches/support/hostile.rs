//! Requests that are made to cost more than they weigh, and ordinary ones of the same length to measure them by.
//!
//! Not here: whether they are found out; see the corpora of `features` and `tests`.

use std::fmt;

use weir_scoring::record::OwnedRequest;

/// A request that fills so many bytes with one thing.
pub(crate) struct Filled {
    name: &'static str,
    make: fn(usize) -> OwnedRequest,
}

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Filled {
    const fn new(name: &'static str, make: fn(usize) -> OwnedRequest) -> Self {
        Self { name, make }
    }

    /// The request, with `bytes` of it filled.
    pub(crate) fn request(&self, bytes: usize) -> OwnedRequest {
        (self.make)(bytes)
    }
}

/// What applications get.
pub(crate) const ORDINARY: [Filled; 2] = [
    Filled::new("form", |bytes| {
        form(&numbered(bytes, |n| {
            format!(
                "name{n}=Anna+Schmidt&city{n}=M%C3%BCnchen&mail{n}=anna.{n}%40example.com&\
             note{n}=Please+ring+twice%2C+the+bell+of+flat+{n}+is+broken.+Thank+you%21&total{n}={n}.95&"
            )
        }))
    }),
    Filled::new("json", |bytes| {
        json(&format!("{{\"items\":[{}]}}", numbered(bytes, |n| {
        format!(
            "{{\"id\":\"rod-{n}\",\"quantity\":{n},\"price\":{n}.95,\"gift\":true,\
             \"note\":\"please wrap it as a gift, and send it to my brother in Hamburg. thank you\"}},"
        )
    }).trim_end_matches(',')))
    }),
];

pub(crate) const PARAMETERS: Filled = Filled::new("parameters", |bytes| {
    form(&numbered(bytes, |n| format!("{n:x}=1&")))
});

/// Attacks on the processor. Each fills a value, a body or a header with what some parser, decoder or recogniser has to
/// look at again and again if it is not careful.
pub(crate) const HOSTILE: [Filled; 49] = [
    // Values of one mark.
    Filled::new("quotes", |bytes| value(&repeated("'", bytes))),
    Filled::new("both quotes", |bytes| value(&repeated("'\"", bytes))),
    Filled::new("angles", |bytes| value(&repeated("<", bytes))),
    Filled::new("brackets", |bytes| value(&repeated("(", bytes))),
    Filled::new("braces", |bytes| value(&repeated("{{", bytes))),
    Filled::new("dollars", |bytes| value(&repeated("${", bytes))),
    Filled::new("pipes", |bytes| value(&repeated("|;", bytes))),
    Filled::new("dots", |bytes| value(&repeated("../", bytes))),
    Filled::new("colons", |bytes| value(&repeated("a:", bytes))),
    Filled::new("backslashes", |bytes| value(&repeated("\\", bytes))),
    Filled::new("stars", |bytes| value(&repeated("*", bytes))),
    Filled::new("comments opened", |bytes| value(&repeated("a/*", bytes))),
    Filled::new("comments", |bytes| value(&repeated("a/**/b", bytes))),
    Filled::new("line breaks", |bytes| value(&repeated("%0d%0aa:", bytes))),
    // Code that a tokenizer looks ahead in.
    Filled::new("conditions", |bytes| value(&repeated("' or ((1 ", bytes))),
    Filled::new("selections", |bytes| value(&repeated("select(a,", bytes))),
    Filled::new("calls", |bytes| value(&repeated("if(char(1,", bytes))),
    Filled::new("tags", |bytes| value(&repeated("<a onx=\"", bytes))),
    Filled::new("commands", |bytes| value(&repeated(";c''at /", bytes))),
    Filled::new("shell words", |bytes| value(&repeated("c'a't${IFS", bytes))),
    Filled::new("spelled texts", |bytes| {
        value(&repeated("chr(1)||0x61", bytes))
    }),
    // Encodings.
    Filled::new("percent of percent", |bytes| {
        value(&repeated("%2525252541", bytes))
    }),
    Filled::new("alternating encodings", |bytes| {
        value(&repeated("%2526%23x25%253b\\u0027%u0027&amp;lt;", bytes))
    }),
    Filled::new("overlong utf-8", |bytes| {
        value(&repeated("%c0%af%e0%80%af", bytes))
    }),
    Filled::new("ligatures", |bytes| value(&repeated("\u{fdfa}", bytes))),
    Filled::new("combining marks", |bytes| {
        value(&repeated("\u{301}\u{323}", bytes))
    }),
    Filled::new("utf-7", |bytes| value(&repeated("%2BADw-a", bytes))),
    Filled::new("stacked readings", |bytes| {
        value(&repeated(
            "%2BADw-/a;x/../b/**/un/**/ion c'a't${IFS}char(97,98)||0x616263 ",
            bytes,
        ))
    }),
    Filled::new("base64", |bytes| value(&base64(bytes, 1))),
    Filled::new("base64 of base64", |bytes| value(&base64(bytes, 4))),
    Filled::new("base64 runs", |bytes| {
        value(&repeated("c2VsZWN0IGEgZnJvbSBi:", bytes))
    }),
    Filled::new("random letters", |bytes| value(&letters(bytes))),
    Filled::new("hexadecimal", |bytes| {
        value(&plain("73656c65637420", bytes))
    }),
    // Structures.
    PARAMETERS,
    Filled::new("colliding names", |bytes| {
        form(&numbered(bytes, |n| format!("{}=1&", colliding(n))))
    }),
    Filled::new("the same parameter", |bytes| {
        form(&numbered(bytes, |n| format!("a[]={n:x}&")))
    }),
    Filled::new("empty pairs", |bytes| form(&repeated("&=", bytes))),
    Filled::new("semicolons", |bytes| {
        value(&numbered(bytes, |n| format!(";{n:x}=a")))
    }),
    Filled::new("addresses in addresses", |bytes| {
        value(&repeated("http://a/?u%3D", bytes))
    }),
    Filled::new("deep json", |bytes| json(&plain("{\"a\":", bytes))),
    Filled::new("wide and deep json", |bytes| {
        let one = format!("{}{},", "[".repeat(60), "]".repeat(60));
        json(&format!("[{}1]", plain(&one, bytes)))
    }),
    Filled::new("json leaves", |bytes| {
        json(&format!("[{}0]", numbered(bytes, |n| format!("{n:x},"))))
    }),
    Filled::new("json in json", |bytes| json(&nested_json(bytes))),
    Filled::new("json escapes", |bytes| {
        json(&format!("[\"{}\"]", repeated("\\\\\\u0041\\\"", bytes)))
    }),
    Filled::new("cookies", |bytes| {
        header("cookie", &numbered(bytes, |n| format!("{n:x}=1;")))
    }),
    Filled::new("quoted cookies", |bytes| {
        header("cookie", &plain("a=\"b;\";", bytes))
    }),
    Filled::new("parts", parts),
    Filled::new("parts with many names", |bytes| {
        let names = plain(";name=a;filename=b", 400);
        let part = format!("--b\r\nContent-Disposition: form-data{names}\r\n\r\nx\r\n");
        multipart(&plain(&part, bytes))
    }),
    Filled::new("elements", |bytes| {
        body(
            "application/xml",
            format!("<a>{}", plain("<b c=\"d\">e</b>", bytes)),
        )
    }),
];

/// So many bytes of one thing, with a number now and then: what comes again byte for byte is looked at once.
fn repeated(piece: &str, bytes: usize) -> String {
    numbered(bytes, |n| {
        format!("{}{n:x}", piece.repeat(200_usize.div_ceil(piece.len())))
    })
}

/// The same without numbers, where they would break a structure.
fn plain(piece: &str, bytes: usize) -> String {
    piece.repeat(bytes / piece.len())
}

/// Names of which all have the same hash where a text is hashed byte by byte with a fixed multiplier of 31, as Java does: "Aa"
/// and "BB" come to the same. The class of attack is Crosby and Wallach's, "Denial of Service via Algorithmic Complexity
/// Attacks", USENIX Security 2003.
fn colliding(n: usize) -> String {
    let choose = |bit: usize| if n >> bit & 1 == 0 { "Aa" } else { "BB" };
    (0..14).map(choose).collect()
}

fn numbered(bytes: usize, piece: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    let mut pieces = (0..).map(piece);
    while text.len() < bytes
        && let Some(piece) = pieces.next()
    {
        text.push_str(&piece);
    }
    text
}

/// Letters of both cases without sense, the same ones each time.
fn letters(bytes: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 1u64;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(LETTERS[(state >> 58) as usize])
    })
    .take(bytes)
    .collect()
}

fn base64(bytes: usize, layers: u32) -> String {
    use base64::Engine as _;
    let grown = (0..layers).fold(bytes, |bytes, _| bytes * 3 / 4);
    (0..layers).fold(plain("select a from b where c; ", grown), |text, _| {
        base64::engine::general_purpose::STANDARD.encode(text)
    })
}

/// JSON texts in strings of JSON texts, each of them four deep, so that the escapes double at each step.
fn nested_json(bytes: usize) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut one = String::from("1");
    for _ in 0..4 {
        one = quoted(&format!("{{\"a\":{one}}}"));
    }
    format!("[{}1]", plain(&format!("{one},"), bytes))
}

fn parts(bytes: usize) -> OwnedRequest {
    multipart(&numbered(bytes, |n| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{n:x}\"\r\n\r\n1\r\n")
    }))
}

fn multipart(parts: &str) -> OwnedRequest {
    body(
        "multipart/form-data; boundary=b",
        format!("{parts}--b--\r\n"),
    )
}

fn value(value: &str) -> OwnedRequest {
    form(&format!("q={value}"))
}

fn form(text: &str) -> OwnedRequest {
    body(
        "application/x-www-form-urlencoded",
        text.trim_end_matches('&').to_owned(),
    )
}

fn json(text: &str) -> OwnedRequest {
    body("application/json", text.to_owned())
}

fn body(content_type: &str, body: String) -> OwnedRequest {
    request(vec![("content-type", content_type)], body)
}

fn header(name: &str, value: &str) -> OwnedRequest {
    request(vec![(name, value)], String::new())
}

fn request(mut headers: Vec<(&str, &str)>, body: String) -> OwnedRequest {
    headers.push(("host", "shop.example"));
    OwnedRequest {
        method: "POST".into(),
        target: "/".into(),
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect(),
        body: body.into_bytes(),
    }
}
