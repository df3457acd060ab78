//! Weir between programs that people use: clients, servers, another proxy in front.
//!
//! Not here: what one of our own clients can show more precisely. See `support::programs` for when these run.

mod chromium;
mod curl;
mod h2load;
mod haproxy;
mod nginx;

use std::net::SocketAddr;

use crate::support::programs::{Running, command, free_address};

/// nginx with a folder of files, as an origin.
pub struct Nginx {
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
    _running: Running,
}

impl Nginx {
    /// Serves `files` (name, content).
    pub async fn start(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let address = free_address();
        // Where it is started as root its workers would otherwise be a user who cannot read the folder.
        let config = format!(
            "daemon off; worker_processes 1; user root root; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{\n\
               types {{ text/html html; text/css css; application/javascript js; image/png png; }}\n\
               access_log {at}/access.log;\n\
               client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
               gzip on; gzip_min_length 100; gzip_proxied any; gzip_types text/css; gzip_http_version 1.0;\n\
               server {{ listen {address}; root {at}/files; }}\n\
             }}\n"
        );
        std::fs::create_dir(folder.path().join("files")).unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join("files").join(name), content).unwrap();
        }
        std::fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let log = folder.path().join("output");
        let mut nginx = command("nginx");
        nginx.args(["-e", "error.log", "-p"]).arg(folder.path());
        nginx.arg("-c").arg(folder.path().join("nginx.conf"));
        let mut running = Running::start(nginx, &log);
        running.accepts(address, &log).await;
        Self {
            address,
            folder,
            _running: running,
        }
    }

    /// Lines of its access log so far.
    pub fn accesses(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("access.log"));
        log.unwrap_or_default().lines().count()
    }
}
