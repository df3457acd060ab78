//! The library that is missing, foreign or not a library at all.

use std::path::Path;
use std::process::Command;

use weir_scoring::ort::{Runtime, RuntimeError};

/// The variable that makes the child of [`in_child`] load the library it names.
const LIBRARY: &str = "WEIR_TEST_LIBRARY";

/// Not a test of its own: what [`in_child`] runs in a process in which no library is loaded yet.
#[test]
fn child() {
    let Some(path) = std::env::var_os(LIBRARY) else {
        return;
    };
    match Runtime::load(Some(Path::new(&path)), None) {
        Ok(runtime) => println!("loaded {}", runtime.path().display()),
        Err(error) => println!("refused {error}"),
    }
    // A refusal is not final.
    println!("then {}", Runtime::load(None, None).is_ok());
}

fn in_child(path: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "runtime::child", "--nocapture"])
        .env(LIBRARY, path)
        .env_remove("ORT_DYLIB_PATH")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_missing_library_is_refused_and_another_may_follow() {
    let said = in_child(Path::new("/nonexistent/libonnxruntime.so"));
    assert!(
        said.contains("refused there is no ONNX Runtime library at /nonexistent"),
        "{said}"
    );
    assert!(
        said.contains("make onnxruntime") && said.contains("then true"),
        "{said}"
    );
}

#[test]
fn a_library_that_is_another_library_is_refused() {
    // The test itself runs with a C library that is no ONNX Runtime.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some(libc) = maps
        .split_whitespace()
        .find(|word| word.contains("/libc.so"))
    else {
        return;
    };
    let said = in_child(Path::new(libc));
    assert!(
        said.contains("refused") && said.contains("make onnxruntime"),
        "{said}"
    );
    assert!(said.contains("then true"), "{said}");
}

#[test]
fn a_truncated_library_is_refused() {
    let loaded = Runtime::load(None, None).unwrap();
    let root = tempfile::tempdir().unwrap();
    let cut = root.path().join("libonnxruntime.so");
    let bytes = std::fs::read(loaded.path()).unwrap();
    std::fs::write(&cut, &bytes[..4096]).unwrap();
    let said = in_child(&cut);
    assert!(
        said.contains("refused") && said.contains("make onnxruntime") && said.contains("then true"),
        "{said}"
    );
}

#[test]
fn errors_are_one_line() {
    let error = RuntimeError::NotFound {
        searched: vec!["/a".into(), "/b".into()],
    }
    .to_string();
    assert!(!error.contains('\n') && error.contains("/a, /b"), "{error}");
}
