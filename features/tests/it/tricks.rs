//! What attackers do to be read otherwise than filters read them, one test for each trick.

use crate::support::Sample;
use weir_features::{Location, Marks};

#[test]
fn sql_is_read_without_comments_and_with_its_codes_spelled_out() {
    let split = Sample::get("/?id=1+un/**/ion+sel/**/ect+password");
    assert!(split.finds(Location::QueryValue, "id", "1 union select password"));
    let versioned = Sample::get("/?id=1/*!50000union*/select+0x61646d696e");
    assert!(versioned.finds(Location::QueryValue, "id", "1 union select admin"));
    let codes = Sample::post(
        "application/json",
        r#"{"q":"1 union select CHAR(60,115,99,114)||CHR(105)||CHR(112)"}"#,
    );
    assert!(codes.finds(Location::Json, "q", "1 union select <scrip"));
    let glued = Sample::get("/?u='ad'%7C%7C'min'--");
    assert!(glued.finds(Location::QueryValue, "u", "'admin'--"));
    // A reading is never instead of the value.
    assert!(glued.finds(Location::QueryValue, "u", "'ad'||'min'--"));
    assert!(
        glued
            .fields()
            .iter()
            .any(|field| field.value == "'admin'--" && field.marks.contains(Marks::NESTED))
    );
}

#[test]
fn split_words_are_put_together() {
    assert!(Sample::get("/?q=%3Cscr%00ipt%3E").finds(Location::QueryValue, "q", "<script>"));
    assert!(Sample::get("/?c=c'a't+/et%5Cc/passwd").finds(
        Location::QueryValue,
        "c",
        "cat /etc/passwd"
    ));
    let agent = Sample::get("/").header("User-Agent", "x;cat${IFS}/etc/passwd");
    assert!(agent.finds(Location::UserAgent, "", "x;cat /etc/passwd"));
    assert!(Sample::get("/?u=jav%09ascript:alert(1)").finds(
        Location::QueryValue,
        "u",
        "javascript:alert(1)"
    ));
    // Ordinary values have no other reading.
    for plain in [
        "O%27Brien",
        "two%0Alines",
        "a%2Bb",
        "image/*,*/*",
        "10%5E6",
        "x%20%26%20y",
    ] {
        assert_eq!(
            Sample::get(format!("/?q={plain}")).fields().len(),
            3,
            "{plain}"
        );
    }
}

#[test]
fn blobs_are_read_wherever_they_stand() {
    let power = Sample::post(
        "application/x-www-form-urlencoded",
        "cmd=powershell+-enc+SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQAIABOAGUAdAAuAFcAZQBiAEMAbABpAGUAbgB0ACkA",
    );
    assert!(power.finds(Location::BodyValue, "cmd", "IEX (New-Object Net.WebClient)"));
    let data = Sample::get("/?u=data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==");
    assert!(data.finds(Location::QueryValue, "u", "<script>alert(1)</script>"));
    let hex = Sample::get("/?q=3c7363726970743e616c6572742831293c2f7363726970743e");
    assert!(hex.finds(Location::QueryValue, "q", "<script>alert(1)</script>"));
    let basic = Sample::get("/").header("Authorization", "Basic YWRtaW46JyBvciAxPTEtLQ==");
    assert!(basic.finds(Location::Header, "authorization", "admin:' or 1=1--"));
    let java = Sample::get("/").header(
        "Cookie",
        "o=rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcAUH2sHDFmDRAwAC",
    );
    assert!(
        java.values(Location::Cookie)
            .iter()
            .any(|value| value.contains("java.util.HashMap"))
    );
}

#[test]
fn tokens_are_read_after_their_scheme_and_without_an_algorithm() {
    let token = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiInIG9yIDEifQ.";
    let sample = Sample::get("/").header("Authorization", token);
    assert!(sample.finds(Location::Header, "authorization.alg", "none"));
    assert!(sample.finds(Location::Header, "authorization.sub", "' or 1"));
}

#[test]
fn paths_have_the_readings_of_servers() {
    let tomcat = Sample::get("/app/..;/manager/html");
    assert!(tomcat.finds(Location::Path, "", "/app/../manager/html"));
    let matrix = Sample::get("/cart;id=1'%20or%201=1--;x=2/pay");
    assert!(matrix.finds(Location::QueryValue, "id", "1' or 1=1--"));
    assert!(matrix.finds(Location::Path, "", "/cart/pay"));
    assert!(Sample::get("/static/....//....//etc/passwd").finds(
        Location::Path,
        "",
        "/static/../../etc/passwd"
    ));
    assert!(Sample::get("/web.config%20./").finds(Location::Path, "", "/web.config/"));
    assert!(Sample::get("/up/shell.php%00.png").finds(Location::Path, "", "/up/shell.php"));
    assert!(Sample::get("/a/%2e%2e%2f%2e%2e/etc").finds(Location::Path, "", "/a/../../etc"));
    assert_eq!(Sample::get("*").values(Location::Path), ["*"]);
    assert!(Sample::get("/a#<svg onload=x>").finds(Location::Path, "", "/a#<svg onload=x>"));
    assert!(Sample::get("/?f=..;/..;/etc/passwd").finds(
        Location::QueryValue,
        "f",
        "../../etc/passwd"
    ));
    assert_eq!(Sample::get("/plain/a-b_c.d/e").fields().len(), 1);
}

#[test]
fn multipart_parsers_disagree_and_every_reading_is_seen() {
    let part = "Content-Disposition: form-data; name=\"f\"; filename=\"a.png\"; filename=\"b.php\"; filename*=UTF-8''c%2ejsp\r\n\
                Content-Type: image/png\r\n\r\n<?php eval($_POST[1]); ?>\r\n";
    // Wrong boundary, quoted and padded boundary, no final boundary.
    for (content_type, body) in [
        (
            "multipart/form-data; boundary=other",
            format!("--b\r\n{part}--b--\r\n"),
        ),
        (
            "multipart/form-data; boundary=\"b\" ",
            format!("--b  \r\n{part}--b--"),
        ),
        (
            "multipart/form-data; boundary=x; boundary=b",
            format!("--b\r\n{part}"),
        ),
        (
            "multipart/form-data; boundary=b",
            format!("--b\r\n{part}--b--").replace("\r\n", "\n"),
        ),
    ] {
        let sample = Sample::post(content_type, body);
        for name in ["a.png", "b.php"] {
            assert!(
                sample.finds(Location::BodyValue, "filename", name),
                "{content_type}: {name}"
            );
        }
        assert!(
            sample.finds(Location::BodyValue, "filename*", "c.jsp"),
            "{content_type}"
        );
        assert!(
            sample.finds(Location::RawBody, "f", "<?php eval($_POST[1]); ?>"),
            "{content_type}"
        );
    }
    let folded = "--b\r\nContent-Disposition: form-data;\r\n name=\"q\"\r\n\r\n' or 1=1\r\n--b--";
    let folded = Sample::post("multipart/form-data; boundary=b", folded);
    assert!(folded.finds(Location::BodyValue, "q", "' or 1=1"));
    let trailing = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.php::$DATA\"\r\n\r\nx\r\n--b--";
    let trailing = Sample::post("multipart/form-data; boundary=b", trailing);
    assert!(trailing.finds(Location::BodyValue, "filename", "x.php"));
    // The delimiter counts at the beginning of a line only.
    let inside =
        "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n1 --b-- union select\r\n--b--";
    let inside = Sample::post("multipart/form-data; boundary=b", inside);
    assert!(inside.finds(Location::BodyValue, "q", "1 --b-- union select"));
}

#[test]
fn multipart_is_entered_and_its_transfer_encodings_undone() {
    let inner =
        "--i\r\nContent-Disposition: file; filename=\"in.php\"\r\n\r\n<?=`id`?> and more\r\n--i--";
    let body = format!(
        "--b\r\nContent-Disposition: form-data; name=\"fs\"\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n{inner}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"p\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=3Cscr=\r\nipt=3E\r\n\
         --b\r\nContent-Disposition: form-data; name=\"u\"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+ADw-svg onload+AD0-x+AD4-\r\n--b--"
    );
    let sample = Sample::post("multipart/form-data; boundary=b", body);
    assert!(sample.finds(Location::BodyValue, "filename", "in.php"));
    assert!(
        sample
            .values(Location::RawBody)
            .contains(&"<?=`id`?> and more".to_owned())
    );
    assert!(sample.finds(Location::BodyValue, "p", "<script>"));
    assert!(sample.finds(Location::BodyValue, "u", "<svg onload=x>"));
}

#[test]
fn scripts_inside_pictures_are_found() {
    let mut picture = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR".to_vec();
    picture.extend((0..2000u32).map(|byte| (byte.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80));
    picture.extend_from_slice(b"\x00<?php system($_GET['c']); ?>\x00");
    picture.extend_from_slice(b"\x00<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>\x00");
    let mut body =
        b"--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\n\r\n".to_vec();
    body.extend_from_slice(&picture);
    body.extend_from_slice(b"\r\n--b--\r\n");
    let sample = Sample::post("multipart/form-data; boundary=b", body);
    assert!(sample.finds(Location::RawBody, "f", "<?php system($_GET['c']); ?>"));
    assert!(
        !sample
            .fields()
            .iter()
            .any(|field| field.value.contains("xpacket") && !field.marks.contains(Marks::BINARY))
    );
}

#[test]
fn bodies_in_other_charsets_are_read() {
    let form = "a=1&q=<script>alert(1)</script>";
    let wide: Vec<u8> = form.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let sample = Sample::post("application/x-www-form-urlencoded", wide.clone());
    assert!(sample.finds(Location::BodyValue, "q", "<script>alert(1)</script>"));
    let marked = Sample::post("text/plain", [b"\xff\xfe".to_vec(), wide].concat());
    assert!(marked.finds(Location::BodyValue, "q", "<script>alert(1)</script>"));
    let utf7 = Sample::post(
        "application/x-www-form-urlencoded; charset=UTF-7",
        "q=%2BADw-b%2BAD4-",
    );
    assert!(utf7.finds(Location::BodyValue, "q", "<b>"));
    // `q=1' or 1=1` in EBCDIC, as the rule sets' testers send it.
    let ebcdic = Sample::post(
        "application/x-www-form-urlencoded; charset=ibm037",
        "%98=%F1%7D%40%96%99%40%F1%7E%F1",
    );
    assert!(ebcdic.finds(Location::BodyValue, "q", "1' or 1=1"));
    let xml = "<?xml version=\"1.0\" encoding=\"UTF-7\"?><a>+ADwAIQ-ENTITY x SYSTEM +ACI-file:///etc/passwd+ACIAPg-</a>";
    let xml = Sample::post("text/xml", xml);
    assert!(
        xml.fields()
            .iter()
            .any(|field| field.value.contains("<!ENTITY x SYSTEM \"file:"))
    );
    let value = Sample::get("/?q=%00%3C%00s%00c%00r%00i%00p%00t%00%3E");
    assert!(value.finds(Location::QueryValue, "q", "<script>"));
}

#[test]
fn json_is_read_whatever_it_is_called() {
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json",
        "",
    ] {
        let body = "\u{feff}{\"a\":1}\n{\"b\\u0063\":\"' or 1=1\"}\n";
        let sample = Sample::post(content_type, body);
        assert!(
            sample.finds(Location::Json, "bc", "' or 1=1"),
            "{content_type}"
        );
    }
    // Text inside text inside text keeps its quotes where they belong.
    let nested = Sample::get(r#"/?q={"u":"{\"co\":{\"val\":\"x' or 1=1\"}}"}"#);
    assert!(nested.finds(Location::QueryValue, "q.u.co.val", "x' or 1=1"));
    let slashed = Sample::get(r#"/?q=\"><svg+onload=\'x\'>"#);
    assert!(slashed.finds(Location::QueryValue, "q", r#""><svg onload='x'>"#));
    let scalar = Sample::post("application/json", "\"<script>\"");
    assert!(scalar.finds(Location::Json, "", "<script>"));
    let comment = Sample::post("application/json", "{\"a\":1/*' or 1=1*/}");
    assert!(
        comment
            .fields()
            .iter()
            .any(|field| field.value == "' or 1=1")
    );
    let form = Sample::post("application/json", "q=%3Cscript%3E&r=2");
    assert!(form.finds(Location::BodyValue, "q", "<script>"));
    let huge = Sample::post(
        "application/json",
        "{\"n\":1e99999999999999999999,\"m\":00000000000000000000001}",
    );
    assert!(huge.finds(Location::Json, "n", "1e99999999999999999999"));
}

#[test]
fn text_of_an_element_is_one_value() {
    let body = "<a><b>&lt;scr<!-- x -->ipt<![CDATA[>alert(1)]]></b></a>";
    let sample = Sample::post("text/xml", body);
    assert!(sample.finds(Location::Xml, "b", "<script>alert(1)"));
    assert!(sample.finds(Location::Xml, "!--", "x"));
}

#[test]
fn repeated_names_add_up() {
    let split = Sample::get("/?a=un&b=1&a=ion%20select");
    assert!(split.finds(Location::QueryValue, "a", "union select"));
    assert!(split.finds(Location::QueryValue, "a", "un,ion select"));
    assert_eq!(Sample::get("/?a=same&a=same").fields().len(), 3);
    let asp = Sample::post(
        "application/x-www-form-urlencoded",
        "id=1/*&%69d=*/union+select",
    );
    assert!(asp.finds(Location::BodyValue, "id", "1/*,*/union select"));
    let array = Sample::get("/?x%5B0%5D=<scr&x%5B1%5D=ipt>");
    assert!(array.finds(Location::QueryValue, "x", "<script>"));
    let semicolon = Sample::get("/?a=1;b=%27%20or%201=1");
    assert!(semicolon.finds(Location::QueryValue, "b", "' or 1=1"));
    // Different members of one thing are no repetition.
    assert_eq!(Sample::get("/?u%5Ba%5D=1&u%5Bb%5D=2").fields().len(), 5);
    assert!(Sample::get("/?eyJhIjogIicgb3IgMT0xIn0=").finds(Location::QueryKey, "a", "' or 1=1"));
    assert!(Sample::get("/?eyJhIjoiJyBvciAxPTEifQ").finds(Location::QueryKey, "a", "' or 1=1"));
}

#[test]
fn cookies_are_quoted_encoded_and_old() {
    let octal = Sample::get("/").header(
        "Cookie",
        "$Version=1; q=\"\\074script\\076; x\"; r=\"plain\"",
    );
    assert!(octal.finds(Location::Cookie, "q", "<script>; x"));
    assert!(octal.finds(Location::Cookie, "r", "plain"));
    assert!(octal.finds(Location::Cookie, "", "$Version"));
    let json = Sample::get("/").header("Cookie", "p=eyJhIjogIicgb3IgMT0xIn0%3D");
    assert!(json.finds(Location::Cookie, "p.a", "' or 1=1"));
}

#[test]
fn inflated_beyond_the_limit_is_marked_and_codings_are_stacked() {
    use std::io::Write as _;
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let bomb =
        Sample::post("text/plain", gzip(&vec![b'a'; 4 << 20])).header("Content-Encoding", "gzip");
    let fields = bomb.fields();
    let body = fields
        .iter()
        .filter(|field| field.location == Location::RawBody);
    assert!(body.clone().count() > 0);
    assert!(
        body.clone()
            .all(|field| field.marks.contains(Marks::OVERFLOW))
    );
    let twice = Sample::post(
        "application/x-www-form-urlencoded",
        gzip(&gzip(b"q=<script>")),
    )
    .header("Content-Encoding", "gzip, gzip");
    assert!(twice.finds(Location::BodyValue, "q", "<script>"));
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    raw.write_all(b"q=<script>").unwrap();
    let raw = Sample::post("application/x-www-form-urlencoded", raw.finish().unwrap())
        .header("Content-Encoding", "deflate");
    assert!(raw.finds(Location::BodyValue, "q", "<script>"));
}

#[test]
fn nesting_of_names_costs_no_stack() {
    let mut name = String::new();
    for _ in 0..20_000 {
        name.push_str("h://a?");
    }
    assert!(!Sample::get(format!("/?{name}=1")).fields().is_empty());
    let parts = "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".repeat(5000);
    assert!(
        !Sample::post("multipart/mixed; boundary=b", parts)
            .fields()
            .is_empty()
    );
}
