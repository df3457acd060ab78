#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;

use super::*;

fn header(class: u8, kind: u16, machine: u16) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(b"\x7fELF");
    header[4] = class;
    header[5] = 1;
    header[16..18].copy_from_slice(&kind.to_le_bytes());
    header[18..20].copy_from_slice(&machine.to_le_bytes());
    header
}

#[test]
fn precedence_is_argument_environment_configuration_executable_directory() {
    let root = tempfile::tempdir().unwrap();
    let library = |folder: &str| {
        let folder = root.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("libonnxruntime.so.1.31.1");
        fs::write(&path, "").unwrap();
        path
    };
    let (argument, environment, configuration) = (library("a"), library("e"), library("c"));
    let installed = library("usr/lib/weir");
    let checkout = library("work/.onnxruntime");
    fs::create_dir_all(root.path().join("usr/bin")).unwrap();
    let mut search = Search {
        argument: Some(argument.parent().unwrap()),
        environment: Some(environment.clone()),
        configuration: Some(&configuration),
        executable: Some(root.path().join("usr/bin/weir")),
        working_directory: Some(root.path().join("work")),
    };
    assert_eq!(search.find().unwrap(), argument);
    search.argument = None;
    assert_eq!(search.find().unwrap(), environment);
    search.environment = Some(PathBuf::new());
    assert_eq!(search.find().unwrap(), configuration);
    search.configuration = None;
    assert_eq!(search.find().unwrap(), installed);
    search.executable = Some(root.path().join("elsewhere/weir"));
    assert_eq!(search.find().unwrap(), checkout);
    search.executable = Some(root.path().join("work/target/debug/deps/test"));
    search.working_directory = None;
    assert_eq!(search.find().unwrap(), checkout);
}

#[test]
fn a_named_path_is_never_passed_over() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("libonnxruntime.so"), "").unwrap();
    let missing = root.path().join("missing");
    let search = Search {
        environment: Some(missing),
        executable: Some(root.path().join("weir")),
        ..Search::default()
    };
    let error = search.find().unwrap_err().to_string();
    assert!(
        error.contains("ORT_DYLIB_PATH") && error.contains("make onnxruntime"),
        "{error}"
    );
}

#[test]
fn nothing_found_says_what_to_run_and_where_it_looked() {
    let root = tempfile::tempdir().unwrap();
    let search = Search {
        executable: Some(root.path().join("bin/weir")),
        ..Search::default()
    };
    let error = search.find().unwrap_err().to_string();
    assert!(
        error.contains("make onnxruntime") && error.contains("lib/weir"),
        "{error}"
    );
}

#[test]
fn the_highest_version_wins_and_providers_are_no_runtime() {
    let root = tempfile::tempdir().unwrap();
    for name in [
        "libonnxruntime.so.1.9.0",
        "libonnxruntime.so.1.31.1",
        "libonnxruntime_providers_cuda.so",
        "libonnxruntime.so.txt",
    ] {
        fs::write(root.path().join(name), "").unwrap();
    }
    assert!(
        in_folder(root.path())
            .unwrap()
            .ends_with("libonnxruntime.so.1.31.1")
    );
    fs::write(root.path().join("libonnxruntime.so"), "").unwrap();
    assert!(
        in_folder(root.path())
            .unwrap()
            .ends_with("libonnxruntime.so")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn headers_of_other_machines_and_other_files_are_refused() {
    let path = Path::new("/x/libonnxruntime.so");
    let own = expected_machine().unwrap();
    let other = if own == 62 { 183 } else { 62 };
    assert!(check_header(path, &header(2, 3, own)).is_ok());
    let says = |header: [u8; HEADER]| check_header(path, &header).unwrap_err().to_string();
    assert!(says(header(2, 3, other)).contains(std::env::consts::ARCH));
    assert!(says(header(1, 3, 3)).contains("32-bit"));
    assert!(says(header(2, 2, own)).contains("no shared library"));
    assert!(says([b'#'; HEADER]).contains("no ELF file"));
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(
        check(empty.path())
            .unwrap_err()
            .to_string()
            .contains("cut off")
    );
    assert!(matches!(
        check(Path::new("/nonexistent/x")),
        Err(RuntimeError::Unreadable { .. })
    ));
}
