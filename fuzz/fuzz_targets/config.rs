//! Whatever the configuration file holds, reading it ends with a configuration or with a list of problems.
#![no_main]

use std::io;
use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    // The only file it may ask for is the admin token's; half the inputs find one.
    let token = |_: &Path| match input.len() % 2 {
        0 => Ok(b"0123456789abcdef0123456789abcdef".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    match weir_waf::config::parse(text, Path::new("/etc/weir"), &token) {
        Ok(config) => {
            assert!(!config.listeners.is_empty() && !config.routes.is_empty());
            assert!(
                config
                    .routes
                    .iter()
                    .all(|route| route.upstream < config.upstreams.len())
            );
        }
        Err(problems) => assert!(
            !problems.is_empty()
                && problems
                    .iter()
                    .all(|problem| !problem.to_string().is_empty())
        ),
    }
});
