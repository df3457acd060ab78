//! Words, numbers, hosts and files that all grammars share, and the built-in terminals.

use super::Rule;
use crate::exposure::dice::Dice;

/// Writes a built-in terminal; false if `name` is none.
pub(super) fn builtin(name: &str, dice: &mut Dice, out: &mut String) -> bool {
    const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
    const HEX: &[u8] = b"0123456789abcdef";
    let text = match name {
        "digit" => dice.between(0, 9).to_string(),
        "n" => match dice.below(4) {
            0 => dice.between(0, 9).to_string(),
            1 => dice.between(10, 99).to_string(),
            2 => dice.between(100, 9999).to_string(),
            _ => dice.between(1, 20).to_string(),
        },
        "big" => dice.between(10_000, 99_999_999).to_string(),
        "port" => dice.between(1, 65_535).to_string(),
        "octet" => dice.between(1, 254).to_string(),
        "letter" => dice.string(LOWER, 1),
        "rand" => {
            let length = dice.between(3, 9) as usize;
            dice.string(LOWER, length)
        }
        "hex4" => dice.string(HEX, 4),
        "hex8" => dice.string(HEX, 8),
        "hex32" => dice.string(HEX, 32),
        "sp" => " ".to_owned(),
        "empty" => String::new(),
        "lf" => "\n".to_owned(),
        "cr" => "\r".to_owned(),
        "crlf_raw" => "\r\n".to_owned(),
        "tab" => "\t".to_owned(),
        "nul" => "\0".to_owned(),
        "dup" => "../".repeat(dice.between(2, 9) as usize),
        "nulls" => vec!["null"; dice.between(2, 12) as usize].join(","),
        "count_up" => (1..=dice.between(2, 14))
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(","),
        _ => return false,
    };
    out.push_str(&text);
    true
}

#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    ("word", &["admin", "test", "user", "name", "value", "search", "id", "guest", "root", "item", "data", "shop", "hello", "foo", "bar", "john", "page", "order", "«rand»", "«rand»"]),
    ("ident", &["id", "name", "user", "username", "email", "pass", "password", "login", "role", "token", "card", "price", "title", "«rand»", "user_id", "is_admin"]),
    ("table", &["users", "user", "accounts", "members", "admin", "customers", "orders", "products", "information_schema.tables", "information_schema.columns", "mysql.user", "sysobjects", "pg_user", "all_tables", "sqlite_master", "«rand»", "wp_users", "dual", "employees", "credentials"]),
    ("benign", &["«word»", "«n»", "«word» «word»", "«word»@example.com", "«word»-«n»", "«empty»", "«empty»", "«word»_«word»", "20«digit»«digit»-0«digit»-1«digit»"]),
    ("tld", &["com", "net", "org", "io", "example", "test", "xyz", "ru", "top", "site", "me"]),
    ("evil", &["evil.«tld»", "attacker.«tld»", "«rand».«tld»", "«rand».oast.«tld»", "bad-«rand».«tld»", "«rand».«rand».«tld»", "x.«rand».«tld»", "«ip»", "collab.«rand».«tld»", "c2.«rand».«tld»"]),
    ("ip", &["10.«octet».«octet».«octet»", "192.168.«octet».«octet»", "«octet».«octet».«octet».«octet»", "127.0.0.1", "172.16.«octet».«octet»", "198.51.100.«octet»", "203.0.113.«octet»"]),
    ("unixfile", &["etc/passwd", "etc/shadow", "etc/hosts", "etc/group", "etc/issue", "proc/self/environ", "proc/self/cmdline", "proc/version", "var/log/apache2/access.log", "var/log/auth.log", "var/www/html/index.php", "root/.ssh/id_rsa", "root/.bash_history", "home/«word»/.ssh/id_rsa", "etc/nginx/nginx.conf", "etc/mysql/my.cnf", "var/lib/mlocate.db", "proc/net/tcp", "etc/crontab", "tmp/«rand»", "opt/«rand»/config.yml", "usr/local/etc/«rand».conf", "var/log/messages"]),
    ("winfile", &["windows/win.ini", "windows/system32/drivers/etc/hosts", "boot.ini", "winnt/win.ini", "windows/system32/config/sam", "inetpub/wwwroot/web.config", "windows/repair/sam", "windows/system.ini", "users/administrator/ntuser.dat", "windows/system32/cmd.exe", "program files/«rand»/config.ini"]),
    ("appfile", &["WEB-INF/web.xml", "web.config", "wp-config.php", ".env", ".git/config", "config/database.yml", "app/etc/local.xml", "config.php", "application.properties", "settings.py", "index.php", "META-INF/MANIFEST.MF", "includes/config.inc.php", "package.json", ".htaccess", ".htpasswd"]),
    ("anyfile", &["«unixfile»", "«unixfile»", "«winfile»", "«appfile»"]),
];
