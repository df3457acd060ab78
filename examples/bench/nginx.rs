//! The configuration of nginx, plain and with ModSecurity and the Core Rule Set as Debian packages them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// What differs between the measurements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) workers: usize,
    pub(crate) rules: Rules,
    /// Connections at once to each worker, both sides together; memory for them is taken at the start.
    pub(crate) connections: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            workers: 1,
            rules: Rules::None,
            connections: 2048,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    None,
    /// ModSecurity 3 with the Core Rule Set at paranoia level 1, blocking.
    Crs,
}

pub(crate) const PACKAGES: [&str; 3] =
    ["nginx", "libnginx-mod-http-modsecurity", "modsecurity-crs"];
const MODULE: &str = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so";
const ENGINE: &str = "/etc/nginx/modsecurity.conf";
const UNICODE: &str = "/etc/nginx/unicode.mapping";
const SETUP: &str = "/etc/modsecurity/crs/crs-setup.conf";
const RULES: &str = "/usr/share/modsecurity-crs/rules";

pub(crate) fn found() -> bool {
    version().is_some()
}

pub(crate) fn rules_found() -> bool {
    [MODULE, ENGINE, UNICODE, SETUP, RULES]
        .iter()
        .all(|path| Path::new(path).exists())
}

/// As `nginx -v` says it.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("nginx").arg("-v").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(text.trim().rsplit('/').next()?.to_owned())
}

/// Writes nginx.conf and what it needs.
pub(crate) fn write(
    room: &Path,
    listen: SocketAddr,
    origin: SocketAddr,
    setup: &Setup,
) -> Result<()> {
    let Setup {
        workers,
        rules,
        connections,
    } = *setup;
    let here = room.display();
    let (module, engine) = match rules {
        Rules::None => (String::new(), String::new()),
        Rules::Crs => {
            fs::write(room.join("modsecurity.conf"), modsecurity(room)?)?;
            (
                format!("load_module {MODULE};"),
                format!("modsecurity on; modsecurity_rules_file {here}/modsecurity.conf;"),
            )
        }
    };
    // `user` is for a master that runs as root, whose temporary folder belongs to root; others ignore it.
    let config = format!(
        "{module} user root; daemon off; worker_processes {workers}; pid {here}/pid; error_log {here}/error.log error;\n\
         worker_rlimit_nofile {};\n\
         events {{ worker_connections {connections}; }}\n\
         http {{\n\
           access_log off; server_tokens off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;\n\
           client_max_body_size 16m; client_body_buffer_size 2m;\n\
           client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n\
           {engine}\n\
           upstream origin {{ server {origin}; keepalive 256; keepalive_requests 100000000; }}\n\
           server {{\n\
             listen {listen} backlog=1024;\n\
             location / {{\n\
               proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
               proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;\n\
             }}\n\
           }}\n\
         }}\n",
        2 * connections
    );
    fs::write(room.join("nginx.conf"), config)?;
    Ok(())
}

/// Debian's configuration, blocking, with the rules.
fn modsecurity(room: &Path) -> Result<String> {
    let shipped = fs::read_to_string(ENGINE).with_context(|| format!("cannot read {ENGINE}"))?;
    let audit = format!("SecAuditLog {}", room.join("audit.log").display());
    let unicode = format!("SecUnicodeMapFile {UNICODE} 20127");
    let replaced = [
        ("SecRuleEngine", "SecRuleEngine On"),
        ("SecResponseBodyAccess", "SecResponseBodyAccess Off"),
        ("SecStatusEngine", "SecStatusEngine Off"),
        ("SecAuditLog", audit.as_str()),
        ("SecUnicodeMapFile", unicode.as_str()),
    ];
    let mut text = String::new();
    for line in shipped.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let other = replaced.iter().find(|(directive, _)| *directive == name);
        text.push_str(other.map_or(line, |(_, other)| other));
        text.push('\n');
    }
    text.push_str(&format!("Include {SETUP}\nInclude {RULES}/*.conf\n"));
    Ok(text)
}
