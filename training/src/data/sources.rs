//! The data sets that Weir was trained and measured with: what they are, what their licence allows, and their checksums.
//!
//! Must not be here: the data, and how it is read. Nothing is fetched.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// What a set may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// May train the shipped model.
    Trains,
    /// Its attacks may train the shipped model, its normal values or false-positive sets may not.
    AttacksTrain,
    /// For measuring only.
    Measures,
}

impl Use {
    /// In words.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Trains => "yes",
            Self::AttacksTrain => "attacks only",
            Self::Measures => "no: measuring only",
        }
    }
}

/// A data set.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Source {
    /// Its name, as in the `source` key of imported records.
    pub name: &'static str,
    /// What it holds.
    pub what: &'static str,
    /// Its licence.
    pub licence: &'static str,
    /// Where it was published, with the version used.
    pub published: &'static str,
    /// Whether it may train `models/base`.
    pub base: Use,
    /// Its files under the data folder.
    pub files: &'static [Recorded],
}

/// A file as it was when the shipped model and its figures were made.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Recorded {
    /// Path under the data folder.
    pub path: &'static str,
    /// SHA-256 in hexadecimal.
    pub sha256: &'static str,
}

/// What became of a recorded file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The recorded one.
    Same,
    /// Another one: figures cannot be compared. Holds its SHA-256.
    Differs(String),
    /// Not there.
    Missing,
}

const fn file(path: &'static str, sha256: &'static str) -> Recorded {
    Recorded { path, sha256 }
}

/// All sets.
pub const SOURCES: [Source; 11] = [
    Source {
        name: "browsing",
        what: "real browser requests of 665 domains, shuffled",
        licence: "Apache-2.0",
        published: "open-appsec WAF comparison project",
        base: Use::Trains,
        files: &[file(
            "browsing/legit_dev.jsonl.gz",
            "5f88e2c0384d9a9d6b4e97b33ed7b26f24b95134e73463b0fb04dcfae0028849",
        )],
    },
    Source {
        name: "sites_ordered",
        what: "16 hosts of the same capture, every distinct request in order; overlaps with browsing",
        licence: "Apache-2.0",
        published: "open-appsec WAF comparison project",
        base: Use::Trains,
        files: &[file(
            "browsing/sites_ordered.jsonl.gz",
            "6abb6fe2c48a7919df7fb3d366b3db7979920cd31a0d89f9ccfad821af124192",
        )],
    },
    Source {
        name: "payloads_all_the_things",
        what: "payloads with class",
        licence: "MIT",
        published: "github.com/swisskyrepo/PayloadsAllTheThings at f9fa514",
        base: Use::Trains,
        files: &[file(
            "attacks/payloads_all_the_things/intruder.jsonl",
            "313bff17f9bd5624dce79168ee26be4dd8e578f4d98a37d49d0162a72192166d",
        )],
    },
    Source {
        name: "fuzzdb",
        what: "payloads with class",
        licence: "see its LICENSE",
        published: "github.com/fuzzdb-project/fuzzdb at 5656ab2",
        base: Use::Trains,
        files: &[file(
            "attacks/fuzzdb/attack.jsonl",
            "54876fc60d0cc78540c9e188243b87092b8d1cca9b6a8db2a69ba2304fc7bc1f",
        )],
    },
    Source {
        name: "httpparams",
        what: "payloads; its normal values come from CSIC 2010",
        licence: "MIT",
        published: "github.com/Morzeux/HttpParamsDataset",
        base: Use::AttacksTrain,
        files: &[file(
            "attacks/httpparams/payload_full.csv",
            "a4e62ba13435ad3dd583c5790db2175629020fc41c56e1b26baa02a9ae45f03d",
        )],
    },
    Source {
        name: "gotestwaf",
        what: "test cases: payloads, encoders, placeholders; a set of false positives",
        licence: "MIT",
        published: "github.com/wallarm/gotestwaf at 67dfd7a",
        base: Use::AttacksTrain,
        files: &[file(
            "attacks/gotestwaf/cases.jsonl",
            "47ed52508512e71cbb51781ea74a3136da42dffdaf4ee0cc464970311b36a76b",
        )],
    },
    Source {
        name: "waf_bypass",
        what: "payloads by zone; a class of false positives",
        licence: "MIT",
        published: "github.com/nemesida-waf/waf-bypass at c469703",
        base: Use::AttacksTrain,
        files: &[file(
            "attacks/waf_bypass/payloads.jsonl",
            "81cacaeb791f76aff3f02ab5ae329aa93ca1b15edfa83fc2733633cfe636dc58",
        )],
    },
    Source {
        name: "crs",
        what: "requests of the rules' regression tests",
        licence: "Apache-2.0",
        published: "github.com/coreruleset/coreruleset at 2cbd1d0",
        base: Use::AttacksTrain,
        files: &[file(
            "attacks/crs/regression.jsonl",
            "535cf5213ddc44ee17e0db180ca5cecbbdb0343f147f83bffdb3078cf7bbb625",
        )],
    },
    Source {
        name: "grananqvist",
        what: "payload strings, attacks and ordinary values",
        licence: "MIT",
        published: "github.com/grananqvist/Machine-Learning-Web-Application-Firewall-and-Dataset at 5f660d9",
        base: Use::Trains,
        files: &[file(
            "attacks/grananqvist/payloads.csv",
            "6cec26a1b60d3396ca508d8c38114f758eb733ca32b3f427625a2d8560faa424",
        )],
    },
    Source {
        name: "csic2010",
        what: "HTTP dataset CSIC 2010: normal training file, and part of its test files for development",
        licence: "none stated; cite it",
        published: "Spanish National Research Council (CSIC), 2010",
        base: Use::Measures,
        files: &[
            file(
                "csic2010/train_normal.jsonl.gz",
                "a3bf1504280f36b6f275797b3af4618cf0e18ae865e55f7f09007b6ebfc6a150",
            ),
            file(
                "csic2010/dev.jsonl.gz",
                "5b26aff21b3d261a4bacc62eea820813e757f74e56530f43944533c411592b45",
            ),
        ],
    },
    Source {
        name: "access_logs",
        what: "an ordinary Apache log and logs of three scanners, for imports",
        licence: "Apache-2.0 (elastic examples); none recorded for the scanner logs",
        published: "elastic examples; scanner logs of ocatak",
        base: Use::Measures,
        files: &[
            file(
                "access_logs/elastic_apache_logs.gz",
                "762e34ceb18fe3c3e81bdd436a49b97e4132275d59186fc9aea2dc2dbf291c88",
            ),
            file(
                "access_logs/ocatak_acunetix.txt.gz",
                "ebdca12b8c7a1ddf8eb5e808b4958810393cb7e9892dcfc863f22c5f5257a0af",
            ),
            file(
                "access_logs/ocatak_netsparker.txt.gz",
                "2f621fa69d2fb90285a3dccc2303696c85fae2964022e116181abf47f900c2a4",
            ),
            file(
                "access_logs/ocatak_w3af.txt.gz",
                "2556f7efca9ed6f65dc1c24983a401b3a082fbfc04909ab7bb4554a091b93c18",
            ),
        ],
    },
];

/// Compares a file under `data` with what was recorded of it.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn check(data: &Path, recorded: &Recorded) -> io::Result<State> {
    let path = data.join(recorded.path);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Missing),
        Err(error) => return Err(error),
    };
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
    let found: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(if found == recorded.sha256 {
        State::Same
    } else {
        State::Differs(found)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_file_is_recorded_once_and_completely() {
        let files: Vec<&Recorded> = SOURCES.iter().flat_map(|source| source.files).collect();
        let paths: HashSet<&str> = files.iter().map(|file| file.path).collect();
        assert_eq!(paths.len(), files.len());
        assert!(files.iter().all(|file| file.sha256.len() == 64
            && file.sha256.bytes().all(|byte| byte.is_ascii_hexdigit())));
        assert!(SOURCES.iter().all(|source| !source.licence.is_empty()));
    }

    #[test]
    fn files_are_missing_the_same_or_others() {
        let dir = tempfile::tempdir().unwrap();
        let recorded = file(
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
        assert_eq!(check(dir.path(), &recorded).unwrap(), State::Missing);
        std::fs::write(dir.path().join("abc"), "abc").unwrap();
        assert_eq!(check(dir.path(), &recorded).unwrap(), State::Same);
        std::fs::write(dir.path().join("abc"), "abd").unwrap();
        assert!(matches!(
            check(dir.path(), &recorded).unwrap(),
            State::Differs(_)
        ));
    }
}
